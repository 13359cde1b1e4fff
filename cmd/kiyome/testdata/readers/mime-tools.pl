# Prints the files that MIME-tools sees in messages.
#
# Every argument is a message. A line is printed for each file in it: the
# argument, and the file in base64. A message that makes MIME-tools fail
# is told on the standard error.

use strict;
use warnings;
no warnings 'recursion';
use MIME::Base64;
use MIME::Parser;

sub show {
    my ($name, $data) = @_;
    print "$name ", encode_base64($data, ''), "\n";
}

for my $name (@ARGV) {
    my $parser = MIME::Parser->new;
    $parser->output_to_core(1);
    $parser->tmp_to_core(1);
    $parser->extract_uuencode(1);
    my $message = eval { $parser->parse_open($name) };
    if (!$message) {
        print STDERR "$name $@\n";
        next;
    }
    for my $part ($message->parts_DFS) {
        show($name, $part->bodyhandle->as_string) if $part->bodyhandle;
        for my $around ($part->preamble, $part->epilogue) {
            show($name, join('', @$around)) if $around && @$around;
        }
    }
}
