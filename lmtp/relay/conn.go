package relay

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"time"
)

// conn is a connection to the next hop, after EHLO.
type conn struct {
	raw      net.Conn // whose deadlines are those of the TLS that may lie over it
	net      net.Conn
	limit    *io.LimitedReader // of what one reply may be
	in       *textproto.Reader
	out      *bufio.Writer
	offers   map[string]string // keywords of EHLO, with their parameters
	patience time.Duration     // for one answer
	used     int               // transactions, the running one included
	expiry   *time.Timer       // closes it when it is idle for too long
}

const (
	dialLimit = 30 * time.Second
	maxReply  = 64 << 10 // bytes of one reply, all its lines
	outBuffer = 64 << 10
)

// errStale says that a connection failed before the next hop took anything over it.
var errStale = errors.New("connection failed before MAIL was accepted")

// connect makes a connection, under TLS where that is wanted. Where it only may be and
// fails, it is made once more without.
func (c *Client) connect(ctx context.Context) (*conn, error) {
	cn, err := c.dial(ctx, c.tls)
	if errors.Is(err, ErrTLS) && c.tls.policy == May {
		c.Log.Warn("next hop: going on without TLS", "address", c.Address, "err", err)
		cn, err = c.dial(ctx, &tlsConfig{policy: None})
	}
	return cn, err
}

// dial connects and says EHLO.
func (c *Client) dial(ctx context.Context, t *tlsConfig) (_ *conn, err error) {
	network, address := "tcp", c.Address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	d := net.Dialer{Timeout: dialLimit}
	nc, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	cn := &conn{raw: nc, patience: c.Patience}
	cn.lay(nc)
	defer context.AfterFunc(ctx, cn.interrupt)()
	defer func() {
		if err != nil {
			nc.Close()
		}
	}()
	if err := cn.hello(ctx, c.Hostname, true); err != nil {
		return nil, err
	}
	if _, offered := cn.offers["STARTTLS"]; t.policy == None || t.policy == May && !offered {
		return cn, nil
	}
	if err := cn.startTLS(ctx, t.config); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTLS, err)
	}
	return cn, cn.hello(ctx, c.Hostname, false)
}

// lay puts our buffers on a connection.
func (c *conn) lay(nc net.Conn) {
	c.net = nc
	c.limit = &io.LimitedReader{R: nc}
	c.in = textproto.NewReader(bufio.NewReader(c.limit))
	c.out = bufio.NewWriterSize(nc, outBuffer)
}

// interrupt makes whatever waits on the connection fail.
func (c *conn) interrupt() { c.raw.SetDeadline(time.Unix(1, 0)) }

// hello reads the greeting, if one is due, and says EHLO.
func (c *conn) hello(ctx context.Context, hostname string, greeted bool) error {
	if greeted {
		if _, err := c.reply(ctx, 2); err != nil {
			return fmt.Errorf("%w: greeting: %w", ErrUnavailable, err)
		}
	}
	lines, err := c.ask(ctx, "EHLO "+hostname)
	if err != nil {
		return fmt.Errorf("%w: EHLO: %w", ErrUnavailable, err)
	}
	c.offers = map[string]string{}
	for line := range strings.SplitSeq(lines, "\n") {
		word, parameters, _ := strings.Cut(line, " ")
		c.offers[strings.ToUpper(word)] = parameters
	}
	return nil
}

// startTLS turns to TLS. What came in the clear behind the answer would be
// taken for what comes under TLS: it must not be there.
func (c *conn) startTLS(ctx context.Context, config *tls.Config) error {
	if _, err := c.ask(ctx, "STARTTLS"); err != nil {
		return err
	}
	if c.in.R.Buffered() > 0 {
		return errors.New("the next hop spoke before the handshake")
	}
	under := tls.Client(c.net, config)
	c.raw.SetDeadline(c.deadline(ctx))
	if err := under.HandshakeContext(ctx); err != nil {
		return err
	}
	c.lay(under)
	return nil
}

// ask sends a command whose answer has to be 2xx, and gives the lines of it.
func (c *conn) ask(ctx context.Context, command string) (lines string, err error) {
	if err := c.say(ctx, command); err != nil {
		return "", err
	}
	return c.reply(ctx, 2)
}

// reply reads an answer that has to be of a class.
func (c *conn) reply(ctx context.Context, class int) (lines string, err error) {
	code, lines, err := c.read(ctx, c.deadline(ctx))
	if err != nil {
		return "", err
	}
	return lines, newReply(code, lines).err(class)
}

// say sends commands together.
func (c *conn) say(ctx context.Context, commands ...string) error {
	c.raw.SetDeadline(c.deadline(ctx))
	for _, command := range commands {
		c.out.WriteString(command)
		c.out.WriteString("\r\n")
	}
	return errors.Join(ctx.Err(), c.out.Flush())
}

// deadline is when one answer has to be there.
func (c *conn) deadline(ctx context.Context) time.Time {
	at := time.Now().Add(c.patience)
	if end, ok := ctx.Deadline(); ok && end.Before(at) {
		return end
	}
	return at
}

// read reads one answer, whatever it says.
func (c *conn) read(ctx context.Context, until time.Time) (code int, lines string, err error) {
	c.raw.SetDeadline(until)
	if err := ctx.Err(); err != nil {
		return 0, "", err // interrupt may have come before the deadline was set anew
	}
	c.limit.N = maxReply
	code, lines, err = c.in.ReadResponse(0)
	return code, lines, err
}

// close ends a connection; politely, where it is sound. Nobody waits for the answer.
func (c *conn) close(sound bool) {
	if sound {
		c.raw.SetDeadline(time.Now().Add(time.Second))
		io.WriteString(c.net, "QUIT\r\n")
	}
	c.net.Close()
}

// send passes a message on over this connection. The results count in any case;
// the error says that the connection is not to be used again.
func (c *conn) send(ctx context.Context, m *Mail) ([]Result, error) {
	c.used++
	defer context.AfterFunc(ctx, c.interrupt)()
	if err := c.fits(m); err != nil {
		return everyone(m, Result{Err: err}), nil
	}
	results, err := c.envelope(ctx, m)
	if err != nil {
		return results, err
	}
	if !slices.ContainsFunc(results, accepted) {
		_, err := c.ask(ctx, "RSET")
		return results, err
	}
	last, err := c.content(ctx, m.Content)
	for i, r := range results {
		if accepted(r) {
			results[i] = last
		}
	}
	return results, err
}

func accepted(r Result) bool { return r.Err == nil }

// fits reports why the next hop could not take a message.
func (c *conn) fits(m *Mail) error {
	if _, ok := c.offers["SMTPUTF8"]; m.UTF8 && !ok {
		return ErrNotUTF8
	}
	if _, ok := c.offers["8BITMIME"]; ok {
		return nil
	}
	_, err := m.Content.WriteTo(only7Bit{})
	return err
}

// only7Bit is a writer that takes nothing else.
type only7Bit struct{}

func (only7Bit) Write(b []byte) (int, error) {
	for i, c := range b {
		if c >= 0x80 {
			return i, ErrNot8Bit
		}
	}
	return len(b), nil
}

// group is how many commands go together where that is offered (RFC 2920): their
// answers fit any socket's buffer, so that neither side waits for the other.
const group = 50

// envelope sends MAIL and RCPT. The results of those who were accepted have no
// error yet.
func (c *conn) envelope(ctx context.Context, m *Mail) ([]Result, error) {
	together := 1
	if _, ok := c.offers["PIPELINING"]; ok {
		together = group
	}
	origin := m.Origin.commands(c.offers["XFORWARD"])
	commands := append(origin, c.mail(m))
	for _, to := range m.To {
		commands = append(commands, "RCPT TO:"+path(to))
	}
	results := everyone(m, Result{Err: ErrUnavailable})
	sender := Result{Err: errStale}
	n := 0
	for some := range slices.Chunk(commands, together) {
		if err := c.say(ctx, some...); err != nil {
			return c.lost(results, sender, err)
		}
		for range some {
			code, lines, err := c.read(ctx, c.deadline(ctx))
			if err != nil {
				return c.lost(results, sender, err)
			}
			r := newReply(code, lines)
			switch i := n - len(origin); {
			case i < 0: // XFORWARD is for the log only: a mail does not fail by it
			case i == 0:
				sender = Result{r, r.err(2)}
			case sender.Err == nil:
				results[i-1] = Result{r, r.err(2)}
			}
			if r.closing() {
				return c.lost(results, sender, &Refusal{r})
			}
			n++
		}
		if n > len(origin) && sender.Err != nil {
			break
		}
	}
	if sender.Err != nil {
		results = everyone(m, sender)
	}
	return results, nil
}

// lost makes of a connection that ended within the envelope what there is to say
// of the recipients: nobody has the message.
func (c *conn) lost(results []Result, sender Result, err error) ([]Result, error) {
	err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	for i, r := range results {
		if refusal, ok := errors.AsType[*Refusal](r.Err); !ok || refusal.closing() {
			results[i].Err = err
		}
	}
	if errors.Is(sender.Err, errStale) || sender.Reply.closing() {
		err = fmt.Errorf("%w: %w", errStale, err)
	}
	return results, err
}

// mail writes the MAIL command. 8BITMIME is said whenever it may be: 7-bit text is
// 8-bit text too.
func (c *conn) mail(m *Mail) string {
	line := "MAIL FROM:" + path(m.From)
	if _, ok := c.offers["SIZE"]; ok { // how much it takes is for the next hop to say, in its own words
		line += fmt.Sprintf(" SIZE=%d", m.Content.Size())
	}
	if _, ok := c.offers["8BITMIME"]; ok {
		line += " BODY=8BITMIME"
	}
	if m.UTF8 {
		line += " SMTPUTF8"
	}
	return line
}
