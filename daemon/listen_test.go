package daemon_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/latticed/latticed/daemon"
	"github.com/latticed/latticed/daemon/daemontest"
)

// told is a stream of events that a client has asked for.
type told struct {
	t    testing.TB
	a    *http.Response
	r    *bufio.Reader
	stop context.CancelFunc
}

// listen asks for events. The daemon has the client's listener when it returns.
func listen(t testing.TB, c *http.Client, path string, fields ...string) *told {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", "http://localhost"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	a, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Body.Close() })
	if kind := a.Header.Get("Content-Type"); a.StatusCode == 200 && kind != "text/event-stream" {
		t.Errorf("%s: got %s", path, kind)
	}
	return &told{t, a, bufio.NewReaderSize(a.Body, 1<<10), cancel}
}

// next returns the next event: its name, and its data in lines.
func (s *told) next() string {
	s.t.Helper()
	var event []string
	for {
		line, err := s.r.ReadString('\n')
		if err != nil {
			return strings.Join(append(event, err.Error()), "|")
		}
		if line == "\n" {
			return strings.Join(event, "|")
		}
		event = append(event, strings.TrimPrefix(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "event: "), "data: "))
	}
}

func (s *told) want(events ...string) {
	s.t.Helper()
	for _, want := range events {
		if got := s.next(); got != want {
			s.t.Errorf("got %q, want %q", got, want)
		}
	}
}

var framings = map[string]func(*testing.T, *daemon.Daemon) *http.Client{"HTTP 1.1": browse, "HTTP 2": overHTTP2}

func TestListenToEntries(t *testing.T) {
	for name, client := range framings {
		t.Run(name, func(t *testing.T) {
			daemontest.OnEachGrid(t, daemontest.AnyPort, func(t *testing.T, d *daemon.Daemon) {
				web, mc := client(t, d), daemontest.Dial(t, d)
				call(t, web, "POST", "/rest/v2/caches/c", nil)
				call(t, web, "PUT", keys+"old", strings.NewReader("v"))
				s := listen(t, web, "/rest/v2/caches/default?action=listen")
				now := listen(t, web, "/rest/v3/caches/default/_listen?includeCurrentState=true", "Accept", "application/json")
				now.want(`cache-entry-created|"old"`)
				call(t, web, "PUT", keys+"k", strings.NewReader("v"))
				daemontest.Ask(t, mc, "set k 0 0 1\r\nw\r\ndelete old\r\ntouch k 100\r\n", "STORED\r\nDELETED\r\nTOUCHED\r\n")
				call(t, web, "PUT", "/rest/v2/caches/c/k", strings.NewReader("v"))
				call(t, web, "PUT", keys+"a%0Ab%0D%22%FF", strings.NewReader("v"))
				call(t, web, "DELETE", keys+"none", nil)
				call(t, web, "PUT", keys+"quiet", strings.NewReader("v"), "flags", "SKIP_LISTENER_NOTIFICATION")
				daemontest.Ask(t, mc, "set short 0 -1 1\r\nv\r\nget short\r\n", "STORED\r\nEND\r\n")
				call(t, web, "POST", "/rest/v2/caches/default?action=clear", nil)
				s.want("cache-entry-created|k", "cache-entry-modified|k", "cache-entry-removed|old", "cache-entry-created|a|b|\"\uFFFD")
				now.want(`cache-entry-created|"k"`, `cache-entry-modified|"k"`, `cache-entry-removed|"old"`, `cache-entry-created|"a\nb\r\"`+"\uFFFD\"")
				for _, s := range []*told{s, now} {
					got := ""
					for got = s.next(); strings.HasPrefix(got, "cache-entry-") && strings.Contains(got, "short"); got = s.next() {
					}
					if got != "cache-cleared|default" {
						t.Errorf("got %q", got)
					}
				}
				if a, _ := call(t, web, "GET", "/rest/v2/caches/default?action=listen", nil, "Accept", "image/png"); a.StatusCode != 406 {
					t.Errorf("got %d", a.StatusCode)
				}
				of := listen(t, web, "/rest/v2/caches/c?action=listen", "Accept", "text/plain")
				call(t, web, "DELETE", "/rest/v2/caches/c", nil)
				of.want("EOF")
			})
		})
	}
}

func TestListenToCaches(t *testing.T) {
	for name, client := range framings {
		t.Run(name, func(t *testing.T) {
			d := daemontest.Boot(t, daemontest.AnyPort)
			web := client(t, d)
			s := listen(t, web, "/rest/v2/container/config?action=listen")
			now := listen(t, web, "/rest/v3/container/_listen?includeCurrentState=true", "Accept", "application/json")
			of := listen(t, web, "/rest/v2/container?action=listen", "Accept", "application/xml")
			now.want(`create-cache|{"infinispan":{"cache-container":{"caches":{"default":{"local-cache":{"statistics":true}}}}}}`)
			call(t, web, "POST", "/rest/v2/caches/c", nil)
			call(t, web, "POST", "/rest/v2/caches/c", nil) // changes nothing
			s.want("create-cache|infinispan: |  cacheContainer: |    caches: |      c: |        localCache: ~")
			now.want(`create-cache|{"infinispan":{"cache-container":{"caches":{"c":{"local-cache":{}}}}}}`)
			of.want(`create-cache|<?xml version="1.0"?><infinispan><cache-container><local-cache name="c"/></cache-container></infinispan>`)
			call(t, web, "POST", "/rest/v2/caches/c?action=set-mutable-attribute&attribute-name=expiration.lifespan&attribute-value=5", nil)
			s.want("update-cache|infinispan: |  cacheContainer: |    caches: |      c: |        localCache: |          expiration: |            lifespan: \"5\"")
			call(t, web, "DELETE", "/rest/v2/caches/c", nil)
			s.want("remove-cache|c")
		})
	}
}

// Who listens and does not read costs a bounded amount, keeps nobody waiting, and learns how much was lost.
func TestSlowListener(t *testing.T) {
	for name, client := range framings {
		t.Run(name, func(t *testing.T) {
			d := daemontest.Boot(t, daemontest.AnyPort)
			s := listen(t, client(t, d), "/rest/v2/caches/default?action=listen")
			mc := daemontest.Dial(t, d)
			const rounds, each = 1500, 100
			key := strings.Repeat("k", 240)
			var b strings.Builder
			for i := range each {
				fmt.Fprintf(&b, "set %s%d 0 0 1 noreply\r\nv\r\n", key, i)
			}
			for range rounds {
				daemontest.Ask(t, mc, b.String()+"mn\r\n", "MN\r\n")
			}
			call(t, browse(t, d), "PUT", keys+"last", strings.NewReader("v"))
			n, lost := 0, 0
			for got := ""; got != "cache-entry-created|last"; {
				got = s.next()
				var k int
				switch _, err := fmt.Sscanf(got, "cache-events-lost|%d", &k); {
				case err == nil:
					lost += k
				case strings.HasPrefix(got, "cache-entry-"):
					n++
				default:
					t.Fatalf("got %q behind %d events", got, n)
				}
			}
			if lost == 0 || n+lost != rounds*each+1 {
				t.Errorf("got %d events, %d lost, want %d together, some lost", n, lost, rounds*each+1)
			}
		})
	}
}

// Listeners end with their clients, and with the daemon.
func TestListenersEnd(t *testing.T) {
	for name, client := range framings {
		t.Run(name, func(t *testing.T) {
			d, err := daemon.Start(daemon.Options{Config: daemontest.Configure(t, daemontest.AnyPort), Version: "test", Log: zerolog.Nop()})
			if err != nil {
				t.Fatal(err)
			}
			web := client(t, d)
			for range 1100 { // more than may listen at a time
				s := listen(t, web, "/rest/v2/caches/default?action=listen")
				if s.a.StatusCode != 200 {
					t.Fatalf("got %d: listeners do not end with their clients", s.a.StatusCode)
				}
				s.stop()
				s.a.Body.Close()
			}
			s, caches := listen(t, web, "/rest/v2/caches/default?action=listen"), listen(t, web, "/rest/v2/container?action=listen")
			call(t, web, "PUT", keys+"k", strings.NewReader("v"))
			s.want("cache-entry-created|k")
			if err := d.Stop(context.Background()); err != nil {
				t.Errorf("stop: %v", err)
			}
			s.want("EOF")
			caches.want("EOF")
		})
	}
}
