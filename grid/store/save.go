package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/latticed/latticed/grid"
)

// A saved store is a stream of records in blocks:
//
//	file:   magic, 16 bytes | block | block | ... | an empty block
//	block:  length, 4 bytes | hash, 8 | that many bytes of the stream
//	stream: one record after the other, wherever blocks end
//	record: 'c' | length, 1 | name of the cache that the entries behind it are in
//	        'e' | entry, entrySize bytes | key | value
//	        'z' | number of entries, 8: the last record
//
// Numbers are little-endian. The hash is XXH64 over the hash of the block before and the bytes, so that blocks that are
// missing, swapped or of another file are noticed too; it guards against accidents, not against who can write the file.
// The magic ends with the version of the format.
const (
	saveMagic  = "latticed saved\x00\x01"
	blockMax   = 1 << 20
	blockHead  = 12
	entrySize  = 2 + 4 + 4 + 2 + 1 + 5*8
	cacheMax   = 255
	recCache   = 'c'
	recEntry   = 'e'
	recEnd     = 'z'
	savedFreq  = 4 // where the frequency is in the byte of states
	savedState = 1<<savedFreq - 1
)

// Save writes all entries that have not expired to w and returns how many. Each shard is locked while its entries are
// written, so it is for a node that serves nobody any more.
func (s *Store) Save(w io.Writer, now grid.Time) (n int, err error) {
	if _, err := io.WriteString(w, saveMagic); err != nil {
		return 0, fmt.Errorf("grid/store: save: %w", err)
	}
	b := &blockWriter{w: w, buf: make([]byte, blockHead, blockMax)}
	caches := s.roster.Load().byName
	for _, name := range slices.Sorted(maps.Keys(caches)) {
		c := caches[name]
		b.put([]byte{recCache, byte(len(name))})
		b.put([]byte(name))
		c.tick(now.Wall)
		for i := range c.shards {
			n += c.shards[i].save(b, now.Wall)
		}
	}
	b.put(binary.LittleEndian.AppendUint64([]byte{recEnd}, uint64(n)))
	b.flush()
	b.flush() // the empty one
	if b.err != nil {
		return n, fmt.Errorf("grid/store: save: %w", b.err)
	}
	return n, nil
}

func (sh *shard) save(b *blockWriter, now int64) (n int) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.c.closed.Load() {
		return 0
	}
	sh.at(now)
	one := func(slot uint64) {
		var it item
		sh.c.a.load(&it, slot&offsetMask)
		if dead, _ := sh.dead(&it, now); !dead && b.err == nil {
			sh.saveEntry(b, &it, slot>>freqShift&3)
			n++
		}
	}
	for i := range sh.index.buckets() {
		for _, slot := range sh.index.bucket(uint32(i)) {
			if slot != 0 {
				one(slot)
			}
		}
	}
	sh.index.spill.each(one)
	return n
}

func (sh *shard) saveEntry(b *blockWriter, it *item, freq uint64) {
	a, le := sh.c.a, binary.LittleEndian
	var head [1 + entrySize]byte
	p := append(head[:0], recEntry)
	p = le.AppendUint16(p, uint16(it.keyLen))
	p = le.AppendUint32(p, uint32(it.size))
	p = le.AppendUint32(p, it.flags)
	p = le.AppendUint16(p, it.attr)
	p = append(p, byte(state(it.bits))|byte(freq<<savedFreq))
	for _, v := range [5]int64{int64(it.version), it.expires, it.created, it.lastUse, it.idle} {
		p = le.AppendUint64(p, uint64(v))
	}
	b.put(p)
	b.put(sh.key(it))
	if it.bits&inRun == 0 {
		b.put(a.bytes(it.valueAt, it.size))
		return
	}
	c := a.start(it.run)
	for off := 0; off < c.size; {
		v := c.at(a, off)
		b.put(v)
		off += len(v)
	}
}

// blockWriter cuts a stream into blocks.
type blockWriter struct {
	w    io.Writer
	buf  []byte // with room for the head
	last uint64 // hash of the block before
	err  error
}

func (b *blockWriter) put(p []byte) {
	for len(p) > 0 && b.err == nil {
		n := min(len(p), cap(b.buf)-len(b.buf))
		b.buf = append(b.buf, p[:n]...)
		p = p[n:]
		if len(b.buf) == cap(b.buf) {
			b.flush()
		}
	}
}

func (b *blockWriter) flush() {
	if b.err != nil {
		return
	}
	b.last = blockHash(b.last, b.buf[blockHead:])
	binary.LittleEndian.PutUint32(b.buf, uint32(len(b.buf)-blockHead))
	binary.LittleEndian.PutUint64(b.buf[4:], b.last)
	_, b.err = b.w.Write(b.buf)
	b.buf = b.buf[:blockHead]
}

func blockHash(last uint64, p []byte) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(last)
	_, _ = d.Write(p)
	return d.Sum64()
}

// Errors of Load.
var (
	ErrForeign = errors.New("not a file that latticed has saved")
	ErrVersion = errors.New("saved by another version of latticed")
	ErrTorn    = errors.New("incomplete or damaged")
)

// Load reads what Save wrote into an empty store and returns how many entries it brought; those that have expired since
// are left out, and what the limit has no room for is evicted. Caches are to be created before: what was in one that does
// not exist is skipped, since its limits are not in the file. The whole stream is checked before the first entry is
// taken, so with an error about it the store is still empty. r is read twice.
func (s *Store) Load(r io.ReadSeeker, now grid.Time) (n int, err error) {
	for _, check := range []bool{true, false} {
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return 0, fmt.Errorf("grid/store: load: %w", err)
		}
		l := loader{s: s, now: now, check: check, b: grid.NewBatch(0)}
		if err := l.load(r); err != nil {
			return l.n, fmt.Errorf("grid/store: load: %w", err)
		}
		n = l.n
		s.pass(l.last)
	}
	return n, nil
}

// pass has all shards go on with versions above last, so that none is given out again: not to another entry, nor to one
// that has expired since it was saved, and is stored again.
func (c *cache) pass(last uint64) {
	step := uint64(len(c.shards))
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		if sh.versions < last {
			sh.versions = last/step*step + uint64(i) + step
		}
		sh.mu.Unlock()
	}
}

type loader struct {
	s     *Store
	c     *cache // nil: none of that name, its entries are skipped
	now   grid.Time
	check bool
	in    blockReader
	b     *grid.Batch
	key   []byte
	value []byte
	seen  uint64
	last  uint64 // the highest version
	n     int
}

func (l *loader) load(r io.Reader) error {
	magic := make([]byte, len(saveMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic[:len(magic)-2]) != saveMagic[:len(magic)-2] {
		return ErrForeign
	}
	if string(magic) != saveMagic {
		return ErrVersion
	}
	l.in = blockReader{r: r, buf: make([]byte, blockMax)}
	for {
		kind, err := l.in.byte()
		if err != nil {
			return err
		}
		switch kind {
		case recCache:
			err = l.cache()
		case recEntry:
			err = l.entry()
		case recEnd:
			return l.end()
		default:
			err = ErrTorn
		}
		if err != nil {
			return err
		}
	}
}

func (l *loader) cache() error {
	n, err := l.in.byte()
	if err != nil {
		return err
	}
	name := make([]byte, n)
	if err := l.in.read(name); err != nil {
		return err
	}
	l.c = l.s.roster.Load().byName[string(name)]
	return nil
}

func (l *loader) end() error {
	var p [8]byte
	if err := l.in.read(p[:]); err != nil {
		return err
	}
	if binary.LittleEndian.Uint64(p[:]) != l.seen {
		return ErrTorn
	}
	return l.in.end()
}

func (l *loader) entry() error {
	var p [entrySize]byte
	if err := l.in.read(p[:]); err != nil {
		return err
	}
	le := binary.LittleEndian
	it := item{
		keyLen: int(le.Uint16(p[:])), size: int(le.Uint32(p[2:])), flags: le.Uint32(p[6:]), attr: le.Uint16(p[10:]),
		version: le.Uint64(p[13:]), expires: int64(le.Uint64(p[21:])), created: int64(le.Uint64(p[29:])),
		lastUse: int64(le.Uint64(p[37:])), idle: int64(le.Uint64(p[45:])),
	}
	l.seen++
	if it.version < 1<<63 {
		l.last = max(l.last, it.version)
	}
	if l.check || l.c == nil || it.expired(l.now.Wall) {
		return l.in.skip(it.keyLen + it.size)
	}
	l.key = append(l.key[:0], make([]byte, it.keyLen)...)
	if err := l.in.read(l.key); err != nil {
		return err
	}
	op := grid.Op{
		Kind: grid.Put, Key: l.key, Flags: it.flags, Attr: it.attr, Idle: it.idle, TTL: grid.TTLForever, Ask: grid.OwnVersion,
		NewVersion: it.version,
	}
	if it.idle == 0 {
		op.Idle = -1 // not the cache's
	}
	at := l.now
	if it.expires != 0 {
		at.Wall, op.TTL = it.created, it.expires-it.created // so that it ends when it was to end
	}
	var slot grid.Slot
	if it.size > grid.StreamMin {
		var code grid.Code
		if slot, code = l.c.Reserve(&op, it.size, grid.Ticket{Now: l.now}); code != grid.OK {
			return l.in.skip(it.size)
		}
		for left := it.size; left > 0; {
			w := slot.Window()
			if err := l.in.read(w[:min(len(w), left)]); err != nil {
				slot.Abort()
				return err
			}
			slot.Wrote(min(len(w), left))
			left -= min(len(w), left)
		}
		op.Body = slot
	} else {
		l.value = append(l.value[:0], make([]byte, it.size)...)
		if err := l.in.read(l.value); err != nil {
			return err
		}
		op.Value = l.value
	}
	l.b.Reset()
	l.b.Now = at
	*l.b.Add() = op
	l.c.Do(l.b)
	if l.b.Res[0].Code == grid.OK {
		l.n++
		l.c.restore(&l.b.Ops[0], &it, p[12], l.now.Wall)
	}
	return nil
}

// restore gives an entry that Load has just put what a Put does not set.
func (c *cache) restore(op *grid.Op, from *item, states byte, now int64) {
	sh := c.shard(uint64(op.Segment))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.c.closed.Load() {
		return
	}
	sh.at(now)
	var it item
	slot := sh.find(op.Hash, op.Key, &it)
	if slot == nil {
		return // evicted already
	}
	it.lastUse = from.lastUse
	for _, b := range [3]struct {
		state grid.State
		bit   uint32
	}{{grid.Fetched, fetched}, {grid.Stale, stale}, {grid.Claimed, claimed}} {
		if grid.State(states&savedState)&b.state != 0 {
			it.bits |= b.bit
		}
	}
	c.a.settle(&it)
	sh.dues.note(&it)
	*slot = *slot&^freqMask | uint64(states>>savedFreq&3)<<freqShift
}

// blockReader reads a stream that was cut into blocks, and checks each.
type blockReader struct {
	r    io.Reader
	buf  []byte
	left []byte // of the block at hand
	last uint64
}

// next reads the next block. Its length may be 0, which ends the stream.
func (b *blockReader) next() error {
	var head [blockHead]byte
	if _, err := io.ReadFull(b.r, head[:]); err != nil {
		return torn(err)
	}
	n := binary.LittleEndian.Uint32(head[:])
	if int(n) > len(b.buf) {
		return ErrTorn
	}
	b.left = b.buf[:n]
	if _, err := io.ReadFull(b.r, b.left); err != nil {
		return torn(err)
	}
	if b.last = blockHash(b.last, b.left); b.last != binary.LittleEndian.Uint64(head[4:]) {
		return ErrTorn
	}
	return nil
}

// torn is ErrTorn where the file ends too early, and the error of reading it otherwise.
func torn(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTorn
	}
	return err
}

// some returns up to n bytes that come next.
func (b *blockReader) some(n int) ([]byte, error) {
	if len(b.left) == 0 {
		if err := b.next(); err != nil {
			return nil, err
		}
		if len(b.left) == 0 {
			return nil, ErrTorn
		}
	}
	p := b.left[:min(n, len(b.left))]
	b.left = b.left[len(p):]
	return p, nil
}

func (b *blockReader) byte() (byte, error) {
	p, err := b.some(1)
	if err != nil {
		return 0, err
	}
	return p[0], nil
}

func (b *blockReader) read(p []byte) error {
	for len(p) > 0 {
		q, err := b.some(len(p))
		if err != nil {
			return err
		}
		p = p[copy(p, q):]
	}
	return nil
}

func (b *blockReader) skip(n int) error {
	for n > 0 {
		p, err := b.some(n)
		if err != nil {
			return err
		}
		n -= len(p)
	}
	return nil
}

// end checks that nothing but the empty block follows.
func (b *blockReader) end() error {
	if len(b.left) > 0 {
		return ErrTorn
	}
	if err := b.next(); err != nil {
		return err
	}
	if len(b.left) > 0 {
		return ErrTorn
	}
	return nil
}
