# Prints the texts that MIME-tools shows with messages.
#
# Every argument is a message. A line is printed for each part that is a text
# and no attachment: the argument, and the text in base64, as it was decoded. A
# message that makes MIME-tools fail is told on the standard error.

use strict;
use warnings;
no warnings 'recursion';
use MIME::Base64;
use MIME::Parser;

for my $name (@ARGV) {
    my $parser = MIME::Parser->new;
    $parser->output_to_core(1);
    $parser->tmp_to_core(1);
    my $message = eval { $parser->parse_open($name) };
    if (!$message) {
        print STDERR "$name $@\n";
        next;
    }
    for my $part ($message->parts_DFS) {
        next if $part->effective_type ne 'text/plain' || !$part->bodyhandle;
        next if ($part->head->mime_attr('content-disposition') || 'inline') ne 'inline';
        print "$name ", encode_base64($part->bodyhandle->as_string, ''), "\n";
    }
}
