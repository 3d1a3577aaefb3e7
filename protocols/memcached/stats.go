package memcached

import (
	"fmt"
	"strings"

	"github.com/latticed/latticed/grid"
)

// stats answers `stats` and its sub-commands. A beginning of one is enough, in this order, except for items, slabs
// and sizes.
func (t *turn) stats(ws *words) string {
	p := t.s.p
	admin, err := t.s.env.Caches.Admin("", grid.Principal{})
	if err != nil {
		return plainError
	}
	t.count.flush(t.loop) // what this Step has counted so far is part of the answer
	var st grid.Stats
	admin.Stats(&st, t.Now)
	var host Host
	if p.opt.Host != nil {
		host = p.opt.Host()
	}
	sub := string(ws.word(1))
	var b strings.Builder
	switch {
	case ws.n < 2:
		p.general(&b, &st, &host, t.Now.Wall)
	case begins(sub, "reset"):
		p.resetCounters()
		p.prefixes.reset()
		admin.ResetStats()
		return "RESET\r\n"
	case begins(sub, "detail"):
		return p.detail(string(ws.word(2)))
	case begins(sub, "settings"):
		p.showSettings(&b, &st, &host)
	case begins(sub, "cachedump"):
		return t.cachedump(ws)
	case sub == "items":
		items(&b, &st, t.Now.Wall)
	case sub == "slabs":
		p.showSlabs(&b, &st)
	case sub == "sizes":
		b.WriteString("STAT sizes_status disabled\r\n")
	case begins(sub, "conns"):
		for _, c := range host.List {
			fmt.Fprintf(&b, "STAT %d:addr %s\r\n", c.ID, c.Addr)
			if c.Local != "" {
				fmt.Fprintf(&b, "STAT %d:listen_addr %s\r\n", c.ID, c.Local)
			}
			fmt.Fprintf(&b, "STAT %d:state %s\r\n", c.ID, c.State)
			fmt.Fprintf(&b, "STAT %d:secs_since_last_cmd %d\r\n", c.ID, c.Idle)
		}
	case begins(sub, "extstore"):
	default:
		return plainError
	}
	b.WriteString("END\r\n")
	return b.String()
}

func stat(b *strings.Builder, name string, value any) { fmt.Fprintf(b, "STAT %s %v\r\n", name, value) }

func (p *Protocol) general(b *strings.Builder, st *grid.Stats, h *Host, now int64) {
	var evicted, evictedUnfetched, expiredUnfetched, reclaimed uint64
	for i := range st.Classes {
		c := &st.Classes[i]
		evicted += c.Evicted
		evictedUnfetched += c.EvictedUnfetched
		expiredUnfetched += c.ExpiredUnfetched
		reclaimed += c.Reclaimed
	}
	micros := func(n int64) string { return fmt.Sprintf("%d.%06d", n/1e6, n%1e6) }
	for _, s := range []struct {
		name  string
		value any
	}{
		{"pid", h.PID}, {"uptime", max(1, (now-h.Started)/1000)}, {"time", now / 1000},
		{"version", p.opt.Version}, {"libevent", "none"}, {"pointer_size", 64},
		{"rusage_user", micros(h.UserMicros)}, {"rusage_system", micros(h.SystemMicros)},
		{"max_connections", h.MaxConns}, {"curr_connections", h.Conns}, {"total_connections", h.TotalConns},
		{"rejected_connections", h.RejectedConns}, {"connection_structures", h.Conns},
		{"response_obj_oom", 0}, {"response_obj_count", h.Conns}, {"response_obj_bytes", h.BufferUsed},
		{"read_buf_count", h.Threads}, {"read_buf_bytes", h.BufferUsed}, {"read_buf_bytes_free", 0}, {"read_buf_oom", p.total(noLineMemory)},
		{"reserved_fds", 0},
		{"cmd_get", p.total(cmdGet)}, {"cmd_set", p.inClasses(cmdSet)}, {"cmd_flush", p.total(cmdFlush)},
		{"cmd_touch", p.total(cmdTouch)}, {"cmd_meta", p.total(cmdMeta)},
		{"get_hits", p.inClasses(getHits)}, {"get_misses", p.total(getMisses)},
		{"get_expired", st.GetExpired}, {"get_flushed", st.GetFlushed},
		{"delete_misses", p.total(deleteMisses)}, {"delete_hits", p.inClasses(deleteHits)},
		{"incr_misses", p.total(incrMisses)}, {"incr_hits", p.inClasses(incrHits)},
		{"decr_misses", p.total(decrMisses)}, {"decr_hits", p.inClasses(decrHits)},
		{"cas_misses", p.total(casMisses)}, {"cas_hits", p.inClasses(casHits)}, {"cas_badval", p.inClasses(casBadval)},
		{"touch_hits", p.inClasses(touchHits)}, {"touch_misses", p.total(touchMisses)},
		{"store_too_large", p.total(tooLarge)}, {"store_no_memory", p.total(noMemory)},
		{"auth_cmds", 0}, {"auth_errors", 0},
		{"bytes_read", h.BytesRead}, {"bytes_written", h.BytesWritten},
		{"limit_maxbytes", st.Limit}, {"accepting_conns", 1}, {"listen_disabled_num", 0},
		{"time_in_listen_disabled_us", 0}, {"threads", h.Threads}, {"conn_yields", h.Yields},
		{"hash_power_level", 16}, {"hash_bytes", 524288}, {"hash_is_expanding", 0},
		{"slab_reassign_rescues", 0}, {"slab_reassign_chunk_rescues", 0}, {"slab_reassign_inline_reclaim", 0},
		{"slab_reassign_busy_items", 0}, {"slab_reassign_busy_deletes", 0},
		{"slab_reassign_busy_nomem", 0}, {"slab_reassign_last_busy_status", 0}, {"slab_reassign_running", 0},
		{"slabs_moved", 0}, {"malloc_fails", 0},
		{"log_worker_dropped", 0}, {"log_worker_written", 0}, {"log_watcher_skipped", 0}, {"log_watcher_sent", 0},
		{"log_watchers", 0}, {"unexpected_napi_ids", 0}, {"round_robin_fallback", 0},
		{"bytes", st.Bytes}, {"curr_items", st.Entries}, {"total_items", st.Stored},
		{"slab_global_page_pool", 0}, {"expired_unfetched", expiredUnfetched},
		{"evicted_unfetched", evictedUnfetched}, {"evictions", evicted},
		{"reclaimed", reclaimed}, {"crawler_reclaimed", 0}, {"crawler_items_checked", 0}, {"lrutail_reflocked", 0},
	} {
		stat(b, s.name, s.value)
	}
	if h.IdleKicks > 0 {
		stat(b, "idle_kicks", h.IdleKicks)
	}
}

func (p *Protocol) showSettings(b *strings.Builder, st *grid.Stats, h *Host) {
	for _, s := range []struct {
		name  string
		value any
	}{
		{"maxbytes", st.Limit}, {"maxconns", h.MaxConns}, {"tcpport", 11211}, {"udpport", 0}, {"inter", "NULL"},
		{"verbosity", p.verbose.Load()}, {"oldest", 0}, {"evictions", "on"}, {"domain_socket", "NULL"},
		{"umask", 700}, {"shutdown_command", "no"}, {"growth_factor", "1.25"}, {"chunk_size", 48},
		{"num_threads", h.Threads}, {"num_threads_per_udp", h.Threads}, {"stat_key_prefix", ":"},
		{"detail_enabled", yes(p.settings.detail.Load())}, {"reqs_per_event", 20}, {"cas_enabled", "yes"},
		{"tcp_backlog", 1024}, {"binding_protocol", "auto-negotiate"}, {"auth_enabled_sasl", "no"},
		{"auth_enabled_ascii", "no"}, {"item_size_max", p.opt.MaxItem}, {"maxconns_fast", "yes"},
		{"hashpower_init", 0}, {"slab_reassign", "no"}, {"slab_automove", p.settings.automove.Load()},
		{"slab_automove_ratio", fmt.Sprintf("%.2f", p.settings.automoveRatio.get())},
		{"slab_automove_window", p.settings.automoveWindow.Load()}, {"slab_chunk_max", 524288},
		{"lru_crawler", yes(!p.settings.crawlerOff.Load())}, {"lru_crawler_sleep", p.settings.crawlerSleep.Load()},
		{"lru_crawler_tocrawl", p.settings.crawlerTocrawl.Load()}, {"tail_repair_time", 0}, {"flush_enabled", "yes"},
		{"dump_enabled", "yes"}, {"hash_algorithm", "xxh64"}, {"lru_maintainer_thread", "no"},
		{"lru_segmented", yes(!p.settings.flat.Load())}, {"hot_lru_pct", p.settings.hotPct.Load()}, {"warm_lru_pct", p.settings.warmPct.Load()},
		{"hot_max_factor", fmt.Sprintf("%.2f", p.settings.hotFactor.get())},
		{"warm_max_factor", fmt.Sprintf("%.2f", p.settings.warmFactor.get())},
		{"temp_lru", yes(p.settings.tempLRU.Load())}, {"temporary_ttl", p.settings.tempTTL.Load()},
		{"idle_timeout", 0}, {"track_sizes", "no"}, {"inline_ascii_response", "no"},
		{"slab_automove_freeratio", fmt.Sprintf("%.3f", p.settings.automoveFree.get())}, {"client_flags_size", 4},
	} {
		stat(b, s.name, s.value)
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func items(b *strings.Builder, st *grid.Stats, now int64) {
	for i := range st.Classes {
		c := &st.Classes[i]
		if c.Entries == 0 {
			continue
		}
		age := int64(0)
		if c.OldestUse > 0 {
			age = max(0, now-c.OldestUse) / 1000
		}
		for _, s := range []struct {
			name  string
			value any
		}{
			{"number", c.Entries}, {"age", age}, {"mem_requested", c.Bytes}, {"evicted", c.Evicted},
			{"evicted_nonzero", c.EvictedTTL}, {"evicted_time", c.EvictedIdle / 1000}, {"outofmemory", c.NoMemory},
			{"tailrepairs", 0}, {"reclaimed", c.Reclaimed}, {"expired_unfetched", c.ExpiredUnfetched},
			{"evicted_unfetched", c.EvictedUnfetched}, {"evicted_active", 0}, {"crawler_reclaimed", 0},
			{"crawler_items_checked", 0}, {"lrutail_reflocked", 0}, {"direct_reclaims", 0},
		} {
			fmt.Fprintf(b, "STAT items:%d:%s %v\r\n", i, s.name, s.value)
		}
	}
}

func (p *Protocol) showSlabs(b *strings.Builder, st *grid.Stats) {
	active := 0
	for i := range st.Classes {
		c := &st.Classes[i]
		var counts [numClassCounters]uint64
		some := c.Entries > 0
		for k := range numClassCounters {
			counts[k] = p.inClass(k, i)
			some = some || counts[k] > 0
		}
		if !some {
			continue
		}
		active++
		chunk := uint64(grid.ClassMax(i))
		for _, s := range []struct {
			name  string
			value uint64
		}{
			{"chunk_size", chunk}, {"chunks_per_page", max(1, (1<<20)/chunk)}, {"total_pages", (c.Bytes + 1<<20 - 1) >> 20},
			{"total_chunks", c.Entries}, {"used_chunks", c.Entries}, {"free_chunks", 0}, {"free_chunks_end", 0},
			{"get_hits", counts[getHits]}, {"cmd_set", counts[cmdSet]}, {"delete_hits", counts[deleteHits]},
			{"incr_hits", counts[incrHits]}, {"decr_hits", counts[decrHits]}, {"cas_hits", counts[casHits]},
			{"cas_badval", counts[casBadval]}, {"touch_hits", counts[touchHits]},
		} {
			fmt.Fprintf(b, "STAT %d:%s %d\r\n", i, s.name, s.value)
		}
	}
	stat(b, "active_slabs", active)
	stat(b, "total_malloced", st.Bytes)
}

func (p *Protocol) detail(word string) string {
	switch {
	case begins(word, "on"), begins(word, "off"):
		p.settings.detail.Store(begins(word, "on"))
		return "OK\r\n"
	case begins(word, "dump"):
		return p.prefixes.dump()
	}
	return "CLIENT_ERROR usage: stats detail on|off|dump\r\n"
}

func (t *turn) cachedump(ws *words) string {
	class, ok1 := parse32(ws.word(2))
	limit, ok2 := parse32(ws.word(3))
	switch {
	case ws.n < 4:
		return "CLIENT_ERROR bad command line\r\n"
	case !ok1 || !ok2:
		return badLine
	case class >= grid.NumClasses:
		return "CLIENT_ERROR Illegal slab id\r\n"
	case class == 0:
		return "END\r\n"
	}
	t.openDump("cachedump", uint8(class))
	if limit > 0 {
		t.s.dump.left = int(limit)
	}
	return ""
}
