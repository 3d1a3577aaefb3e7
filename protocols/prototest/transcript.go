package prototest

import (
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Transcript is a file of conversations with a genuine server, which sessions of ours have to repeat:
//
//	# a comment
//	[name]          a new connection to an empty server
//	> get k         a line that is sent, with CRLF
//	>+ get k\r\n    bytes that are sent, nothing added
//	< END           a line that the genuine server answered, without its CRLF; <+ for what ends otherwise
//	<.              it closed the connection
//	! ERROR         what we answer instead of all < lines behind the same > lines, on purpose; also !+ and !.
//	!-              we answer nothing
//
// Lines are escaped as Go strings are, and {30*ab} stands for thirty times ab. {v1} is a number that differs from run to
// run, the first of its conversation: what a pattern's group matches in answers is named so, and where it is sent it has
// the value that was answered. A star hides what need not be the same.
type Transcript struct {
	File  string
	Setup Setup
	Ways  []How
	// Vars match, by their only group, what becomes {v1}, {v2} and so on. Hide matches, likewise, what becomes a star.
	Vars, Hide *regexp.Regexp
	// Once tells what depends on how the input is cut: a conversation with it is held only line by line.
	Once func(sent string) bool

	// Record is the address of a genuine server: the < lines are written anew from what it answers. Before each
	// conversation Prepare empties it, and after each line it is given the time that Settle says.
	Record  string
	Prepare func(address string) error
	Settle  func(sent string) time.Duration
}

// conversation is one part of the file. Groups are what is sent without waiting, and the answer.
type conversation struct {
	head   []string // lines up to the first group
	name   string
	groups []group
}

type group struct {
	sent        []string // escaped
	want, ours  []string // lines as they are in the file
	tail        []string // comments behind
	differs     bool
	lineOfFirst int
}

func parseTranscript(text string) (list []conversation) {
	c := conversation{}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "["):
			if c.name != "" {
				list = append(list, c)
				c = conversation{}
			}
			c.name = strings.Trim(line, "[]")
			c.head = append(c.head, line)
		case strings.HasPrefix(line, ">"):
			n := len(c.groups)
			if n == 0 || len(c.groups[n-1].want)+len(c.groups[n-1].ours)+len(c.groups[n-1].tail) > 0 {
				c.groups = append(c.groups, group{lineOfFirst: i + 1})
				n++
			}
			c.groups[n-1].sent = append(c.groups[n-1].sent, line)
		case len(c.groups) == 0:
			c.head = append(c.head, line)
		case strings.HasPrefix(line, "<"):
			g := &c.groups[len(c.groups)-1]
			g.want = append(g.want, line)
		case strings.HasPrefix(line, "!"):
			g := &c.groups[len(c.groups)-1]
			g.ours = append(g.ours, line)
			g.differs = true
		default:
			g := &c.groups[len(c.groups)-1]
			g.tail = append(g.tail, line)
		}
	}
	return append(list, c)
}

var repeat = regexp.MustCompile(`\{(\d+)\*([^}]*)\}`)

// unescape turns a line of the file behind its mark into bytes.
func unescape(t testing.TB, s string) string {
	t.Helper()
	s = repeat.ReplaceAllStringFunc(s, func(m string) string {
		p := repeat.FindStringSubmatch(m)
		n, _ := strconv.Atoi(p[1])
		return strings.Repeat(p[2], n)
	})
	out, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	if err != nil {
		t.Fatalf("cannot read %.80q: %v", s, err)
	}
	return out
}

// vars are the values of {v1} and so on within a conversation.
type vars struct{ values []string }

func (v *vars) name(value string) string {
	for i, known := range v.values {
		if known == value {
			return fmt.Sprintf("{v%d}", i+1)
		}
	}
	v.values = append(v.values, value)
	return fmt.Sprintf("{v%d}", len(v.values))
}

func (v *vars) fill(s string) string {
	for i, value := range v.values {
		s = strings.ReplaceAll(s, fmt.Sprintf("{v%d}", i+1), value)
	}
	return s
}

// replaceGroup replaces what the group of re matches in s.
func replaceGroup(re *regexp.Regexp, s string, f func(string) string) string {
	if re == nil {
		return s
	}
	var b strings.Builder
	at := 0
	for _, m := range re.FindAllStringSubmatchIndex(s, -1) {
		for g := 2; g < len(m); g += 2 {
			if m[g] >= 0 {
				b.WriteString(s[at:m[g]])
				b.WriteString(f(s[m[g]:m[g+1]]))
				at = m[g+1]
			}
		}
	}
	return b.String() + s[at:]
}

// write turns an answer into lines of the file with the given mark.
func (tr *Transcript) write(mark, answer string, closed bool, v *vars) (lines []string) {
	answer = replaceGroup(tr.Hide, answer, func(string) string { return "*" })
	answer = replaceGroup(tr.Vars, answer, v.name)
	for answer != "" {
		line, rest, ok := strings.Cut(answer, "\r\n")
		if ok {
			lines = append(lines, strings.TrimSuffix(mark+" "+escape(line), " "))
		} else {
			lines = append(lines, mark+"+ "+escape(line))
		}
		answer = rest
	}
	if closed {
		lines = append(lines, mark+".")
	}
	return lines
}

func escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		n := i
		for n < len(s) && s[n] == s[i] {
			n++
		}
		one := strconv.Quote(s[i : i+1])
		one = one[1 : len(one)-1]
		if s[i] >= 0x80 {
			one = fmt.Sprintf(`\x%02x`, s[i])
		}
		if one == `\"` {
			one = `"`
		}
		if n-i > 30 {
			fmt.Fprintf(&b, "{%d*%s}", n-i, one)
			i = n
			continue
		}
		b.WriteString(one)
		i++
	}
	return b.String()
}

// sent returns the bytes of a group.
func (g *group) bytes(t testing.TB, v *vars) string {
	var b strings.Builder
	for _, line := range g.sent {
		if raw, ok := strings.CutPrefix(line, ">+ "); ok {
			b.WriteString(unescape(t, v.fill(raw)))
		} else {
			b.WriteString(unescape(t, v.fill(strings.TrimPrefix(strings.TrimPrefix(line, ">"), " "))) + "\r\n")
		}
	}
	return b.String()
}

// Run holds the sessions of Setup to the file: line by line, and then the whole input of a conversation in all Ways.
func (tr *Transcript) Run(t *testing.T) {
	text, err := os.ReadFile(tr.File)
	if err != nil {
		t.Fatal(err)
	}
	list := parseTranscript(string(text))
	if tr.Record != "" {
		tr.record(t, list)
		return
	}
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) { tr.replay(t, &c) })
	}
}

func (tr *Transcript) replay(t *testing.T, c *conversation) {
	conn := tr.Setup.Dial(t, How{Tail: true})
	var v vars
	var all strings.Builder
	for i := range c.groups {
		g := &c.groups[i]
		sent := g.bytes(t, &v)
		all.WriteString(sent)
		mark, want := "<", g.want
		if g.differs {
			mark, want = "!", g.ours
		}
		out := conn.Send([]byte(sent))
		got := tr.write(mark, string(out), conn.Closed(), &v)
		if len(got) == 0 && g.differs {
			got = []string{"!-"}
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s:%d: %.200q\ngot:\n%.2000s\nwant:\n%.2000s", tr.File, g.lineOfFirst, sent, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if tr.Once == nil || !tr.Once(all.String()) {
		tr.Setup.Same(t, []byte(all.String()), tr.Ways)
	}
}

// record asks the genuine server and writes the file anew.
func (tr *Transcript) record(t *testing.T, list []conversation) {
	var b strings.Builder
	for _, c := range list {
		if err := tr.Prepare(tr.Record); err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", tr.Record)
		if err != nil {
			t.Fatal(err)
		}
		var v vars
		for _, line := range c.head {
			b.WriteString(line + "\n")
		}
		for i := range c.groups {
			g := &c.groups[i]
			for j := range g.sent { // each by itself, so that every answer stands behind what it answers
				one := group{sent: g.sent[j : j+1]}
				b.WriteString(g.sent[j] + "\n")
				sent := one.bytes(t, &v)
				answer, closed := ask(conn, sent)
				time.Sleep(tr.Settle(sent))
				for _, line := range tr.write("<", answer, closed, &v) {
					b.WriteString(line + "\n")
				}
			}
			for _, line := range append(g.ours, g.tail...) {
				b.WriteString(line + "\n")
			}
		}
		conn.Close()
	}
	if err := os.WriteFile(tr.File, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ask sends text and reads until nothing more comes: the one place that cannot know what to wait for.
func ask(conn net.Conn, text string) (answer string, closed bool) {
	go func() { _, _ = io.WriteString(conn, text) }()
	buf := make([]byte, 64<<10)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(60 * time.Millisecond))
		n, err := conn.Read(buf)
		answer += string(buf[:n])
		if err != nil {
			e, ok := err.(net.Error)
			return answer, !ok || !e.Timeout()
		}
	}
}
