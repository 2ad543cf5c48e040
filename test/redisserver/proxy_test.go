package redisserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/test/redisserver"
)

// bench is a server, a proxy to it, and a client on either side of the proxy.
type bench struct {
	server      *redisserver.Server
	proxy       *redisserver.Proxy
	far, beyond *redis.Client
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{server: redisserver.New(t, redisserver.Config{})}
	b.proxy = redisserver.NewProxy(t, b.server.Addr)
	connect := func(addr string) *redis.Client {
		c := redis.NewClient(&redis.Options{
			Addr: addr, MaxRetries: -1, DialerRetries: 1, ReadTimeout: 10 * time.Second, ContextTimeoutEnabled: true, DisableIdentity: true,
		})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	b.far, b.beyond = connect(b.proxy.Addr), connect(b.server.Addr)
	return b
}

// push appends numbers to a list in one pipeline and returns how many were acknowledged.
func (b *bench) push(ctx context.Context, many int) (int, error) {
	cmds, err := b.far.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range many {
			p.RPush(ctx, "list", strconv.Itoa(i))
		}
		return nil
	})
	known := 0
	for _, c := range cmds {
		if c.Err() == nil {
			known++
		}
	}
	return known, err
}

// stored awaits a number of elements in the list, which have to be the first ones, and forgets them.
func (b *bench) stored(t *testing.T, want int64) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		n, err := b.beyond.LLen(t.Context(), "list").Result()
		if err == nil && n == want {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server has %d (%v), want %d", n, err, want)
		}
	}
	list, err := b.beyond.LRange(t.Context(), "list", 0, -1).Result()
	if err == nil {
		err = b.beyond.Del(t.Context(), "list").Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range list {
		if text != strconv.Itoa(i) {
			t.Fatalf("element %d is %s", i, text)
		}
	}
}

// whole fails unless everything goes through.
func (b *bench) whole(t *testing.T) {
	t.Helper()
	if n, err := b.push(t.Context(), 20); n != 20 || err != nil {
		t.Fatalf("%d of 20 acknowledged: %v", n, err)
	}
	b.stored(t, 20)
}

func TestProxyRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.whole(t)
	b.proxy.Refuse()
	if err := b.far.Ping(t.Context()).Err(); err == nil {
		t.Fatal("a connection that there was before goes on")
	}
	if err := b.far.Ping(t.Context()).Err(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("a new connection: %v", err)
	}
	b.proxy.None()
	b.whole(t)
}

func TestProxyHangs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.whole(t)
	b.proxy.Hang()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if n, err := b.push(ctx, 5); n != 0 || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, syscall.ETIMEDOUT) && !isTimeout(err) {
		t.Fatalf("%d acknowledged: %v", n, err)
	}
	if n := b.beyond.LLen(t.Context(), "list").Val(); n != 0 {
		t.Fatalf("%d got through", n)
	}
	b.proxy.None()
	b.beyond.Del(t.Context(), "list")
	if err := b.far.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestProxyDelays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.whole(t)
	const delay = 300 * time.Millisecond
	b.proxy.Delay(delay)
	begin := time.Now()
	b.whole(t)
	if took := time.Since(begin); took < delay || took > 10*delay {
		t.Errorf("a pipeline took %s, each is held back for %s as a whole", took, delay)
	}
	b.proxy.None()
	begin = time.Now()
	b.whole(t)
	if took := time.Since(begin); took > delay {
		t.Errorf("without delay it took %s", took)
	}
}

// rawPush pushes numbers to the list in one write, and returns the lines that came back before the
// connection ended, or before as many as there were commands.
func (b *bench) rawPush(t *testing.T, many int) []string {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", b.proxy.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // what matters has been read
	var text strings.Builder
	for i := range many {
		fmt.Fprintf(&text, "*3\r\n$5\r\nRPUSH\r\n$4\r\nlist\r\n$1\r\n%d\r\n", i)
	}
	if _, err := conn.Write([]byte(text.String())); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for r := bufio.NewReader(conn); len(lines) < many; {
		line, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// TestProxyLosesReplies has the server do all, and no byte of the reply arrives.
func TestProxyLosesReplies(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.whole(t)
	b.proxy.CutReplies(0)
	if lines := b.rawPush(t, 10); len(lines) != 0 {
		t.Fatalf("it was answered %q", lines)
	}
	b.stored(t, 10)
	if n, err := b.push(t.Context(), 10); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("%d acknowledged: %v", n, err)
	}
	b.stored(t, 10)
	b.proxy.CutReplies(1)
	if lines := b.rawPush(t, 1); len(lines) != 0 {
		t.Fatalf("it was answered %q", lines)
	}
	b.stored(t, 1)
	b.proxy.None()
	b.whole(t)
}

// TestProxyCutsRequests ends connections in the middle of pipelines and of commands. What was whole is
// done and answered.
func TestProxyCutsRequests(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const command = 32 // bytes, and each has as many
	for _, bytes := range []int{0, 1, command - 1, command, command + 1, 5*command - 2, 5 * command, 10 * command} {
		b.whole(t)
		b.proxy.CutRequests(bytes)
		lines := b.rawPush(t, 10)
		var want []string
		for i := range bytes / command {
			want = append(want, fmt.Sprintf(":%d", i+1))
		}
		if !slices.Equal(lines, want) {
			t.Errorf("%d bytes: it was answered %q, want %q", bytes, lines, want)
		}
		b.proxy.None()
		b.stored(t, int64(len(want)))
	}
}

func TestProxyAnswers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, line := range []string{"-LOADING Redis is loading the dataset in memory", "BUSY Redis is busy running a script."} {
		b.proxy.Answer(line)
		n, err := b.push(t.Context(), 20)
		if n != 0 || err == nil || err.Error() != strings.TrimPrefix(line, "-") {
			t.Fatalf("%d acknowledged: %v", n, err)
		}
		b.stored(t, 0)
		b.proxy.None()
		b.whole(t)
	}
}

// TestProxySeesServerEnd has the server die, which clients see, and come back.
func TestProxySeesServerEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.whole(t)
	b.server.Kill()
	if err := b.far.Ping(t.Context()).Err(); err == nil {
		t.Fatal("a dead server answers")
	}
	b.server.Start()
	if err := b.far.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

// TestProxyPassesLargeValues sends what exceeds every buffer, and what has line ends in it.
func TestProxyPassesLargeValues(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, value := range []string{"", "\r\n$5\r\n", strings.Repeat("large\r\n", 1<<20)} {
		if err := b.far.Set(t.Context(), "key", value, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if got, err := b.far.Get(t.Context(), "key").Result(); err != nil || got != value {
			t.Fatalf("%d bytes came back as %d: %v", len(value), len(got), err)
		}
	}
	messages := []string{"first", "second"}
	sub := b.far.Subscribe(t.Context(), "channel")
	t.Cleanup(func() { _ = sub.Close() })
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range messages {
		if err := b.beyond.Publish(t.Context(), "channel", m).Err(); err != nil {
			t.Fatal(err)
		}
		answer, err := sub.ReceiveMessage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, answer.Payload)
	}
	if !slices.Equal(got, messages) {
		t.Fatalf("it was told %q", got)
	}
}
