package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/latticed/latticed/conf"
	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols/rest"
)

// process implements rest.Process.
type process struct {
	d       *Daemon
	loops   int
	dumping sync.Mutex // one dump at a time
}

// Memory implements rest.Process.
func (p *process) Memory() rest.Memory {
	m := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/gomemlimit:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/memory/classes/os-stacks:bytes"},
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(m)
	n := func(i int) int64 { return int64(m[i].Value.Uint64()) }
	var st grid.Stats
	p.d.store.Stats(&st, p.d.clock.Now())
	heap := rest.Usage{Used: n(0), Committed: n(0) + n(1) + n(2), Max: n(3)}
	if n(3) == int64(^uint64(0)>>1) {
		heap.Max = -1
	}
	stacks := rest.Usage{Used: n(4) + n(5), Committed: n(4) + n(5), Max: -1}
	others := n(6) - n(7) - heap.Committed - stacks.Committed
	k := &p.d.hub.Counters
	r := rest.Memory{
		Heap: heap,
		Pools: []rest.Pool{
			{Name: "Go heap", Heap: true, Usage: heap},
			{Name: "Go stacks", Usage: stacks},
			{Name: "Go runtime", Usage: rest.Usage{Used: others, Committed: others, Max: -1}},
			{Name: "entries", Usage: rest.Usage{Used: int64(st.Memory), Committed: int64(st.Memory), Max: int64(st.Limit)}},
		},
		Collections: n(8), Buffers: rest.Usage{Used: max(0, k.Buffered.Load()), Max: p.d.hub.MaxBuffers}, Connections: k.Conns.Load(),
	}
	for _, c := range collector() {
		if c.name == "collector-cpu-us" {
			r.Collecting = time.Duration(c.n) * time.Microsecond
		}
	}
	r.NonHeap.Max = -1
	for _, pool := range r.Pools[1:] {
		r.NonHeap.Used += pool.Used
		r.NonHeap.Committed += pool.Committed
	}
	return r
}

// Threads implements rest.Process: goroutines that do the same are told once, with their number, so there are few however many
// connections are on goroutines.
func (p *process) Threads() []byte {
	var b bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&b, 1) // a buffer takes everything
	return b.Bytes()
}

// Configuration implements rest.Process. Passwords and keys are in files of their own, of which it has the names.
func (p *process) Configuration() string { return p.d.config.Load().YAML(true) }

// told are the variables of the environment that say how the process runs, beside those that configure it. Others may be
// somebody's secrets.
var told = []string{"GOMAXPROCS", "GOMEMLIMIT", "GOGC", "GODEBUG", "GOTRACEBACK", "STATE_DIRECTORY", "TZ"}

// Environment implements rest.Process.
func (p *process) Environment() map[string]string {
	env := map[string]string{
		"latticed.version": p.d.version, "latticed.event-loops": strconv.Itoa(p.loops), "latticed.config": p.d.config.Load().File,
		"latticed.memory": conf.FormatSize(p.d.memory.Load()), "go.version": runtime.Version(), "go.maxprocs": strconv.Itoa(runtime.GOMAXPROCS(0)),
		"os.name": runtime.GOOS, "os.arch": runtime.GOARCH, "os.cpus": strconv.Itoa(runtime.NumCPU()), "process.id": strconv.Itoa(os.Getpid()),
	}
	names := slices.Clone(told)
	for _, s := range conf.Settings(conf.Machine{}) {
		names = append(names, s.Env)
	}
	for _, name := range names {
		if v, given := os.LookupEnv(name); given {
			env[name] = v
		}
	}
	return env
}

// maxDumps is how many dumps of the heap are in the data directory at most; another one takes the place of the oldest.
const maxDumps = 16

// HeapDump implements rest.Process. What is written is a profile for `go tool pprof`, of what was on the heap when it was last
// collected.
func (p *process) HeapDump(live bool) (string, error) {
	if p.d.dataDir == nil {
		return "", &rest.Refusal{Status: 409, Text: "there is no data-dir to write it to; see the configuration"}
	}
	p.dumping.Lock()
	defer p.dumping.Unlock()
	dir := p.d.dataDir.Path()
	there, err := filepath.Glob(filepath.Join(dir, "heap-*.pprof"))
	if err != nil {
		return "", fmt.Errorf("heap dump: %w", err)
	}
	slices.Sort(there)
	for ; len(there) >= maxDumps; there = there[1:] {
		if err := os.Remove(there[0]); err != nil {
			return "", fmt.Errorf("heap dump: %w", err)
		}
	}
	if live {
		runtime.GC()
	}
	var b bytes.Buffer
	_ = pprof.Lookup("heap").WriteTo(&b, 0) // a buffer takes everything
	name := "heap-" + time.Now().UTC().Format("20060102T150405.000000000") + ".pprof"
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		_ = os.Remove(path)
		if errors.Is(err, syscall.ENOSPC) {
			return "", &rest.Refusal{Status: 507, Text: "heap dump: " + err.Error()}
		}
		return "", fmt.Errorf("heap dump: %w", err)
	}
	p.d.log.Info().Str("file", path).Msg("a client had the heap dumped")
	return name, nil
}
