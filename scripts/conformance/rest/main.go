// Command rest sends the requests of requests.txt to a latticed daemon and to an Infinispan server and compares the
// answers: status, fields and body, without what is about time. Differences that are meant are in known.tsv with their
// reason; any other is a failure, and so is one that is listed and not found.
//
//	go run ./rest -latticed http://127.0.0.1:11222 -infinispan http://127.0.0.1:11322 [-v]
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

//go:embed requests.txt
var requests string

//go:embed known.tsv
var known string

// exchange is one request, as written in requests.txt.
type exchange struct {
	block, text        string
	method, path, body string
	hasBody            bool
	fields             []string
}

func main() {
	ours := flag.String("latticed", "http://127.0.0.1:11222", "the daemon")
	theirs := flag.String("infinispan", "http://127.0.0.1:11322", "the server to compare with")
	verbose := flag.Bool("v", false, "show known differences too")
	flag.Parse()
	if err := run(*ours, *theirs, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "rest:", err)
		os.Exit(1)
	}
}

func run(ours, theirs string, verbose bool) error {
	list, err := parse(requests)
	if err != nil {
		return err
	}
	reasons := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(known), "\n") {
		k, reason, ok := strings.Cut(line, "\t")
		if !ok {
			return fmt.Errorf("known.tsv: no tab in %q", line)
		}
		reasons[k] = reason
	}
	// Names are new in every run, so that entries of the last one do not matter.
	run := fmt.Sprintf("r%x", time.Now().UnixNano())
	same, meant := 0, 0
	var bad []string
	met := map[string]bool{}
	for _, e := range list {
		a, err := send(ours, e, run)
		if err != nil {
			return err
		}
		b, err := send(theirs, e, run)
		if err != nil {
			b = "nothing: " + err.Error()[strings.LastIndex(err.Error(), ":")+1:]
		}
		name := e.block + ": " + e.text
		_, expected := reasons[name]
		met[name] = true
		switch {
		case a == b && !expected:
			same++
		case a == b:
			bad = append(bad, name)
			fmt.Printf("= %s\n  is listed as different and is not\n", name)
		case expected:
			meant++
			if verbose {
				fmt.Printf("* %s\n  %s\n  latticed   %s\n  infinispan %s\n", name, reasons[name], a, b)
			}
		default:
			bad = append(bad, name)
			fmt.Printf("! %s\n  latticed   %s\n  infinispan %s\n", name, a, b)
		}
	}
	for k := range reasons {
		if !met[k] {
			bad = append(bad, k)
			fmt.Printf("? %s\n  is listed and not in requests.txt\n", k)
		}
	}
	fmt.Printf("%d the same, %d different on purpose, %d not explained\n", same, meant, len(bad))
	if len(bad) > 0 {
		return fmt.Errorf("%d differences are not explained", len(bad))
	}
	return nil
}

// parse reads blocks: a line "= name", then requests "METHOD path [Name: value] ... <- body". In path ~ stands for a
// prefix that is new in every run and block.
func parse(text string) (list []exchange, err error) {
	block := ""
	for i, line := range strings.Split(text, "\n") {
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, "= "):
			block = line[2:]
			continue
		}
		e := exchange{block: block, text: line}
		line, e.body, e.hasBody = strings.Cut(line, " <- ")
		if strings.HasSuffix(line, " <-") {
			line, e.hasBody = strings.TrimSuffix(line, " <-"), true
		}
		for {
			k := strings.Index(line, " [")
			if k < 0 {
				break
			}
			n := strings.IndexByte(line[k:], ']')
			if n < 0 {
				return nil, fmt.Errorf("requests.txt:%d: no ]", i+1)
			}
			e.fields = append(e.fields, line[k+2:k+n])
			line = line[:k] + line[k+n+1:]
		}
		var ok bool
		if e.method, e.path, ok = strings.Cut(line, " "); !ok {
			return nil, fmt.Errorf("requests.txt:%d: no path", i+1)
		}
		list = append(list, e)
	}
	return list, nil
}

var masks = []struct {
	field string
	match *regexp.Regexp
	with  string
}{
	{"created", regexp.MustCompile(`^\d{13}$`), "<ms>"},
	{"lastused", regexp.MustCompile(`^\d{13}$`), "<ms>"},
	{"expires", regexp.MustCompile(`^\w{3}, .* GMT$`), "<date>"},
	{"last-modified", regexp.MustCompile(`^\w{3}, .* GMT$`), "<date>"},
	{"cache-control", regexp.MustCompile(`^max-age=\d+$`), "max-age=<n>"},
}

// javaHash is where an array was shown as Java shows objects.
var javaHash = regexp.MustCompile(`\[B@[0-9a-f]+`)

// client keeps a connection for each server, and gives up on one that does not answer.
var client = &http.Client{
	Timeout:       3 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport: &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	},
}

// send returns the answer in one line.
func send(server string, e exchange, run string) (string, error) {
	prefix := run + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, e.block)
	var body io.Reader
	if e.hasBody {
		body = strings.NewReader(strings.NewReplacer(`\r`, "\r", `\n`, "\n", `\xff`, "\xff", `\xfc`, "\xfc").Replace(e.body))
	}
	r, err := http.NewRequest(e.method, server, body)
	if err != nil {
		return "", err
	}
	path, query, _ := strings.Cut(strings.ReplaceAll(e.path, "~", prefix), "?")
	r.URL.Opaque, r.URL.RawQuery = path, query // as it stands, also what is malformed
	r.URL.ForceQuery = strings.HasSuffix(e.path, "?")
	r.Header.Set("User-Agent", "compare")
	for _, f := range e.fields {
		name, value, _ := strings.Cut(f, ":")
		r.Header.Add(name, strings.TrimPrefix(value, " "))
	}
	a, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		return "", err
	}
	var fields []string
	for name, values := range a.Header {
		name = strings.ToLower(name)
		switch {
		// The same everywhere: latticed says the date, what an error's sentence is and what HEAD would have; a length that
		// is not that of the body has no place in 304.
		case name == "date" || name == "connection":
			continue
		case name == "content-type" && a.StatusCode >= 400 && values[0] == "text/plain; charset=utf-8":
			continue
		case name == "content-length" && (e.method == "HEAD" || a.StatusCode == http.StatusNotModified):
			continue
		case name == "etag" && (a.StatusCode == http.StatusNotModified || a.StatusCode == http.StatusPreconditionFailed):
			continue
		}
		v := strings.Join(values, ", ")
		if strings.HasPrefix(name, "access-control-") || name == "vary" { // lists without an order
			list := strings.Split(strings.ReplaceAll(strings.ToLower(v), " ", ""), ",")
			slices.Sort(list)
			v = strings.Join(list, ",")
		}
		for _, m := range masks {
			if m.field == name && m.match.MatchString(v) {
				v = m.with
			}
		}
		fields = append(fields, name+": "+v)
	}
	slices.Sort(fields)
	return fmt.Sprintf("%d %s | %q", a.StatusCode, strings.Join(fields, "; "), javaHash.ReplaceAllString(strings.ReplaceAll(string(b), prefix, "~"), "[B@_")), nil
}
