package rest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/latticed/latticed/protocols/media"
)

// Process tells what a process is made of and what it does. It is safe for concurrent use, and takes longer than others should
// wait. Nothing of it is a secret of the process, though not everybody's business.
type Process interface {
	Memory() Memory
	Threads() []byte
	Environment() map[string]string
	Configuration() string                       // as it was read last, in YAML
	HeapDump(live bool) (file string, err error) // live: collected before; a *Refusal, or what went wrong
}

// Memory is what the process has taken, in bytes.
type Memory struct {
	Heap, NonHeap Usage
	Pools         []Pool // what both are made of
	Collections   int64
	Collecting    time.Duration // of CPUs, all in all
	Buffers       Usage         // of connections, of which there are
	Connections   int64
}

// Usage is how a part of the memory is used. Max is -1 where there is no bound.
type Usage struct{ Used, Committed, Max int64 }

// Pool is one part of the memory.
type Pool struct {
	Name string
	Heap bool
	Usage
}

// process answers for what is below /server and about the process. False: this is something else.
func (x *Exchange) process(sub [][]byte, action string) bool {
	p := x.s.opt.Process
	name := part(sub, 0)
	answers := map[string]func(x *Exchange){
		"memory": func(x *Exchange) {
			x.out = appendMemory(x.out[:0], p.Memory())
			x.json()
		},
		"env": func(x *Exchange) {
			x.out = appendEnvironment(x.out[:0], p.Environment())
			x.json()
		},
		"threads": func(x *Exchange) {
			x.out = append(x.out[:0], p.Threads()...)
			x.plain(fasthttp.StatusOK)
			x.Res.SetContentType("text/plain")
			x.body(x.out, false)
			x.compress(media.Text)
		},
		"report": (*Exchange).report,
	}
	offered := []string{"GET"}
	if name == "memory" {
		offered = append(offered, "POST heap-dump")
	}
	switch answer := answers[name]; {
	case answer == nil || len(sub) > 2 || len(sub) == 2 && name != "report":
		return false
	case !x.offers(action, offered...) || !x.mayAdmin():
	case p == nil:
		x.notYet("telling of the process")
	case len(sub) == 2 && part(sub, 1) != x.s.opt.Host().Node:
		x.plain(fasthttp.StatusNotFound)
	case x.meth == mPost:
		live := x.truth("live")
		x.apart(x.s.opt.MaxContent, func(x *Exchange) {
			file, err := p.HeapDump(live)
			if err != nil {
				x.failed(err)
				return
			}
			o := object(x.out[:0])
			o.open()
			o.text("filename", file)
			o.end()
			x.out = o
			x.json()
		})
	default:
		x.Heavy = true
		x.inTurn(answer)
	}
	return true
}

func (u Usage) append(o *object, name string) {
	o.name(name)
	o.open()
	o.int("init", -1) // not known
	o.int("used", u.Used)
	o.int("committed", u.Committed)
	o.int("max", u.Max)
	o.end()
}

// appendMemory writes m as Infinispan does that of a JVM.
func appendMemory(dst []byte, m Memory) []byte {
	o := object(dst)
	o.open()
	o.name("memory_pools")
	o = append(o, '[')
	var collected []string
	for i, p := range m.Pools {
		if i > 0 {
			o = append(o, ',')
		}
		o.open()
		o.text("name", p.Name)
		kind := "Non-heap memory"
		if p.Heap {
			kind = "Heap memory"
			collected = append(collected, p.Name)
		}
		o.text("type", kind)
		p.Usage.append(&o, "usage")
		o.null("peak_usage")
		o.end()
	}
	o = append(o, ']')
	o.name("gc")
	o = append(o, '[')
	o.open()
	o.text("name", "Go")
	o.bool("valid", true)
	o.int("collection_count", m.Collections)
	o.int("collection_time", m.Collecting.Milliseconds())
	o.list("memory_pool_names", collected)
	o.end()
	o = append(o, ']')
	o.name("buffer_pools")
	o = append(o, '[')
	o.open()
	o.text("name", "connections")
	o.int("memory_used", m.Buffers.Used)
	o.int("total_capacity", m.Buffers.Max)
	o.int("count", m.Connections)
	o.end()
	o = append(o, ']')
	m.Heap.append(&o, "heap")
	m.NonHeap.append(&o, "non_heap")
	o.end()
	return o
}

func appendEnvironment(dst []byte, env map[string]string) []byte {
	o := object(dst)
	o.open()
	for _, name := range slices.Sorted(maps.Keys(env)) {
		o.text(name, env[name])
	}
	o.end()
	return o
}

// maxReported bounds each part of a report, in bytes.
const maxReported = 2 << 20

// report answers with an archive of what helps to find out what is the matter with the process.
func (x *Exchange) report() {
	x.s.reporting.Lock()
	defer x.s.reporting.Unlock()
	p := x.s.opt.Process
	now := time.UnixMilli(x.now.Wall).UTC()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	add := func(name string, data []byte) error {
		if len(data) > maxReported {
			data = append(data[:maxReported:maxReported], "\n(cut here)\n"...)
		}
		err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data)), ModTime: now})
		if err == nil {
			_, err = t.Write(data)
		}
		return err
	}
	metrics := []byte("(none could be gathered)\n")
	if x.s.opt.Metrics != nil {
		if g := x.s.gather(""); g != nil {
			defer x.s.ungather(g)
			metrics = g.body
		}
	}
	err := errors.Join(
		add("environment.json", appendEnvironment(nil, p.Environment())), add("configuration.yaml", []byte(p.Configuration())),
		add("memory.json", appendMemory(nil, p.Memory())), add("threads.txt", p.Threads()), add("metrics.txt", metrics),
		t.Close(), z.Close(),
	)
	if err != nil {
		panic("BUG: rest: " + err.Error()) // a buffer takes everything
	}
	if !x.charge(b.Len()) {
		return
	}
	x.plain(fasthttp.StatusOK)
	x.Res.SetContentType("application/gzip")
	x.Res.Set("Content-Disposition", "attachment; filename="+
		strconv.Quote("latticed-"+x.s.opt.Host().Node+"-"+now.Format("20060102150405")+"-report.tar.gz"))
	x.body(b.Bytes(), false)
}
