package api

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkLongPolls has many connections wait in a server that is a process of its own, ours or a bare one, and
// wakes them. It tells what a waiting connection takes of the server's resident memory, what the server computes
// while all wait, and how long after the new template the last of them had its first byte and its last.
func BenchmarkLongPolls(b *testing.B) {
	for _, template := range []string{"small", "full"} {
		for _, n := range []int{1000, 10000} {
			for _, server := range []string{"bare", "ours"} {
				b.Run(fmt.Sprintf("%s/%d/%s", template, n, server), func(b *testing.B) { benchmarkPolls(b, server+" "+template+" 0s", n) })
			}
		}
	}
}

// BenchmarkLongPollsIdle has ten thousand wait for ten seconds, with and without keep-alive bytes.
func BenchmarkLongPollsIdle(b *testing.B) {
	const span = 10 * time.Second
	for _, server := range []string{"bare small 0s", "ours small 0s", "ours small 30s"} {
		b.Run(strings.ReplaceAll(server, " ", "/"), func(b *testing.B) {
			p := startPolls(b, server)
			p.connect(10000)
			p.settle()
			var used time.Duration
			for b.Loop() {
				before := p.cpu()
				time.Sleep(span) // this is what is measured
				used += p.cpu() - before
			}
			b.ReportMetric(used.Seconds()*1000/span.Seconds()/float64(b.N), "cpu-ms/s")
		})
	}
}

// BenchmarkLongPollsMemory has ten thousand wait in a server that remembers eight full templates without a transaction
// in common, and wakes them.
func BenchmarkLongPollsMemory(b *testing.B) { benchmarkPolls(b, "ours eight 30s", 10000) }

func benchmarkPolls(b *testing.B, server string, n int) {
	b.Helper()
	p := startPolls(b, server)
	p.connect(1)
	p.settle()
	p.turn() // so that what a template takes is there before
	before, _ := p.collect()
	p.connect(n)
	p.settle()
	var firsts, lasts []time.Duration
	var used time.Duration
	for b.Loop() {
		first, last, cpu := p.turn()
		firsts, lasts, used = append(firsts, first), append(lasts, last), used+cpu
	}
	slices.Sort(firsts)
	slices.Sort(lasts)
	b.ReportMetric(firsts[len(firsts)/2].Seconds()*1000, "first-ms")
	b.ReportMetric(lasts[len(lasts)/2].Seconds()*1000, "last-ms")
	b.ReportMetric(float64(used.Microseconds())/float64(b.N*n), "cpu-µs/poll")
	b.ReportMetric(float64(p.status("VmHWM:"))/(1<<20), "peak-MB")
	after, stats := p.collect()
	b.ReportMetric(float64(after-before)/float64(n), "rss-B/conn")
	b.Log(server, n, before, after, stats)
}

// polls are connections to a server that is a process of its own. They cost this process little, because it runs
// on the same cores.
type polls struct {
	b       *testing.B
	process *os.Process
	in      io.Writer
	out     *bufio.Scanner
	address syscall.Sockaddr
	epoll   int
	socks   []int
	buffer  []byte
}

// startPolls starts a server.
func startPolls(b *testing.B, server string) *polls {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), pollServerEnv+"="+server), os.Stderr
	in, err := cmd.StdinPipe()
	p := &polls{b: b, in: in, buffer: make([]byte, 1<<20)}
	p.must(err)
	out, err := cmd.StdoutPipe()
	p.must(err)
	p.out = bufio.NewScanner(out)
	p.must(cmd.Start())
	p.process = cmd.Process
	p.epoll, err = syscall.EpollCreate1(0)
	p.must(err)
	b.Cleanup(func() {
		for _, fd := range append(p.socks, p.epoll) {
			p.must(syscall.Close(fd))
		}
		p.must(in.Close())
		p.must(cmd.Wait())
	})
	address, err := netip.ParseAddrPort(p.line())
	p.must(err)
	p.address = &syscall.SockaddrInet4{Port: int(address.Port()), Addr: address.Addr().As4()}
	return p
}

func (p *polls) must(err error) {
	p.b.Helper()
	if err != nil {
		p.b.Fatal(err)
	}
}

func (p *polls) line() string {
	p.b.Helper()
	if !p.out.Scan() {
		p.b.Fatal("the server is gone: ", p.out.Err())
	}
	return p.out.Text()
}

// tell gives the server a command and reads the values of its answer.
func (p *polls) tell(command string, values ...any) {
	p.b.Helper()
	_, err := fmt.Fprintln(p.in, command)
	p.must(err)
	_, err = fmt.Sscan(p.line(), values...)
	p.must(err)
}

// connect opens connections until there are n, and sends a long poll on each that is new.
func (p *polls) connect(n int) {
	p.b.Helper()
	for len(p.socks) < n {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		p.must(err)
		p.must(syscall.Connect(fd, p.address))
		p.must(syscall.SetNonblock(fd, true))
		event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(len(p.socks))}
		p.must(syscall.EpollCtl(p.epoll, syscall.EPOLL_CTL_ADD, fd, &event))
		p.socks = append(p.socks, fd)
		p.poll(len(p.socks)-1, "5") // an id that is no text is that of the template in force
	}
}

// ask sends a long poll on each connection.
func (p *polls) ask(id string) {
	p.b.Helper()
	for i := range p.socks {
		p.poll(i, `"`+id+`"`)
	}
}

func (p *polls) poll(i int, id string) {
	p.b.Helper()
	body := `{"method":"getblocktemplate","params":[{"rules":["segwit"],"capabilities":["coinbasetxn","workid","coinbase/append"],"longpollid":` + id + `}],"id":0}`
	text := fmt.Sprintf("POST / HTTP/1.1\r\nHost: pool\r\nUser-Agent: bench/1\r\n%s\r\nContent-Length: %d\r\n\r\n%s", basic(fmt.Sprintf("%s%d", user, i), "x"), len(body), body)
	n, err := syscall.Write(p.socks[i], []byte(text))
	p.must(err)
	if n != len(text) {
		p.b.Fatalf("%d bytes of %d sent", n, len(text))
	}
}

// settle waits until all wait.
func (p *polls) settle() {
	p.b.Helper()
	for n := 0; n != len(p.socks); time.Sleep(10 * time.Millisecond) {
		p.tell("waiting", &n)
	}
}

// collect has the server collect its garbage and returns its resident memory in bytes.
func (p *polls) collect() (int, string) {
	p.b.Helper()
	var heap, stacks int
	p.tell("collect", &heap, &stacks)
	return p.status("VmRSS:"), fmt.Sprintf("heap %d stacks %d", heap, stacks)
}

// status returns a figure of the server's memory in bytes.
func (p *polls) status(name string) int {
	p.b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.process.Pid))
	p.must(err)
	_, after, _ := strings.Cut(string(text), name)
	kb := 0
	_, err = fmt.Sscan(after, &kb)
	p.must(err)
	return kb << 10
}

// cpu returns what the server's threads have computed so far.
func (p *polls) cpu() (sum time.Duration) {
	p.b.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.process.Pid))
	p.must(err)
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		p.must(err)
		var ns time.Duration
		_, err = fmt.Sscan(string(text), &ns)
		p.must(err)
		sum += ns
	}
	return sum
}

// turn wakes all who wait, and has them wait again. It returns how long after the new template the last of them had
// the first byte of its answer, how long after it the last byte, and what the server computed,
// the template included.
func (p *polls) turn() (first, last, cpu time.Duration) {
	p.b.Helper()
	before := p.cpu()
	since, next := p.wake()
	first, last = p.read(since)
	cpu = p.cpu() - before
	p.ask(next)
	p.settle()
	return first, last, cpu
}

func (p *polls) wake() (since time.Time, next string) {
	p.b.Helper()
	var at int64
	p.tell("wake", &at, &next)
	return time.Unix(0, at), next
}

// read reads an answer on each connection, and returns how long after since the last one's first byte came, and its last.
func (p *polls) read(since time.Time) (first, last time.Duration) {
	p.b.Helper()
	left := make([]int, len(p.socks)) // of an answer, in bytes; 0 before it
	events := make([]syscall.EpollEvent, 256)
	for unbegun, open := len(p.socks), len(p.socks); open > 0; {
		n, err := syscall.EpollWait(p.epoll, events, -1)
		if err == syscall.EINTR {
			continue
		}
		p.must(err)
		for _, event := range events[:n] {
			got, err := syscall.Read(p.socks[event.Fd], p.buffer)
			p.must(err)
			to := &left[event.Fd]
			if *to == 0 {
				if unbegun--; unbegun == 0 {
					first = time.Since(since)
				}
				*to = p.size(p.buffer[:got])
			}
			if *to -= got; *to == 0 {
				open--
			}
		}
	}
	return first, time.Since(since)
}

// size returns the size of an answer that begins with b.
func (p *polls) size(b []byte) int {
	p.b.Helper()
	head, _, whole := bytes.Cut(b, []byte("\r\n\r\n"))
	_, after, found := bytes.Cut(head, []byte("Content-Length: "))
	n := 0
	if _, err := fmt.Sscan(string(after[:min(len(after), 20)]), &n); err != nil || !whole || !found {
		p.b.Fatalf("an answer begins with %q", b[:min(len(b), 200)])
	}
	return len(head) + 4 + n
}
