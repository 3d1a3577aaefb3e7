package http2_test

import (
	"fmt"
	"slices"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	accesslog "github.com/latticed/latticed/access-log"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/prototest"
)

// TestAccessLog records requests when their answers are written, or when they are reset.
func TestAccessLog(t *testing.T) {
	c := greeted(t, newStore(), xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 3})
	log := &prototest.Log{Format: func(rec *accesslog.Record) string {
		return fmt.Sprintf("%s %s %s %s %s/%s %d %d", rec.Op, rec.Protocol, rec.Status, rec.Target, rec.Cache, rec.Key, rec.In, rec.Out)
	}}
	c.env.Door = &protocols.Door{Log: log}
	c.request(1, false, "PUT", key)
	c.must(c.framer.WriteData(1, true, []byte("value")))
	c.step()
	c.request(3, true, "GET", key)
	c.step()
	c.must(c.framer.WriteWindowUpdate(3, 100))
	c.request(5, true, "GET", key)
	c.step()
	c.must(c.framer.WriteRSTStream(5, xhttp2.ErrCodeCancel)) // the rest of its answer is not wanted
	c.request(7, false, "PUT", key)
	c.must(c.framer.WriteData(7, false, []byte("va")))
	c.must(c.framer.WriteRSTStream(7, xhttp2.ErrCodeCancel))
	c.step()
	log.Refuse = true
	c.request(9, true, "DELETE", key)
	c.step()
	log.Refuse = false
	c.request(11, true, "HEAD", key)
	c.step()
	want := []string{
		"PUT HTTP/2.0 204 " + key + " default/k 5 0",
		"GET HTTP/2.0 200 " + key + " default/k 0 5",
		"GET HTTP/2.0 200 " + key + " default/k 0 3",
		"PUT HTTP/2.0 reset " + key + " default/k 2 0",
		"HEAD HTTP/2.0 200 " + key + " default/k 0 0",
	}
	c.must(c.framer.WriteWindowUpdate(9, 100))
	c.step()
	want = append(want, "DELETE HTTP/2.0 503 "+key+" / 0 57")
	if !slices.Equal(log.Lines, want) {
		t.Errorf("got\n%q, want\n%q", log.Lines, want)
	}

	// Who leaves.
	log.Lines = nil
	c.request(13, true, "GET", key)
	c.must(c.framer.WriteWindowUpdate(0, 1))
	c.request(15, false, "PUT", key)
	c.must(c.framer.WriteData(15, false, []byte("va")))
	c.step()
	c.session.Close()
	if want := []string{"GET HTTP/2.0 200 " + key + " default/k 0 3", "PUT HTTP/2.0 reset " + key + " default/k 2 0"}; !slices.Equal(log.Lines, want) {
		t.Errorf("who leaves: got\n%q, want\n%q", log.Lines, want)
	}
}
