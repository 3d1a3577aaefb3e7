package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// upstream runs a file of memcached's own tests.
func upstream(file string) func(*runner, string) (int, error) {
	return func(r *runner, addr string) (int, error) {
		dir, err := r.tests()
		if err != nil {
			return 0, err
		}
		return checks(r.command(dir, []string{"T_MEMD_USE_DAEMON=" + addr}, "perl", filepath.Join("t", file)))
	}
}

// upstreamTests returns a folder with memcached's t, and beside it the executable that its tests ask for help.
func (r *runner) upstreamTests() (string, error) {
	dir := filepath.Join(r.cache, "upstream")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	from := os.Getenv("UPSTREAM_TESTS")
	if from == "" {
		from = filepath.Join(dir, "debian")
		if _, err := os.Stat(filepath.Join(from, "t")); err != nil {
			if err := r.debianSource(dir, from); err != nil {
				return "", err
			}
		}
	}
	work := filepath.Join(dir, "work")
	if err := os.RemoveAll(work); err != nil {
		return "", err
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return "", err
	}
	if _, err := r.command("", nil, "cp", "-r", filepath.Join(from, "t"), work); err != nil {
		return "", err
	}
	stub := "#!/bin/sh\necho 'memcached 1.6.45'\n"
	return work, os.WriteFile(filepath.Join(work, "memcached-debug"), []byte(stub), 0o755)
}

// debianSource unpacks Debian's source package of memcached into dst, with package lists of its own.
func (r *runner) debianSource(dir, dst string) error {
	fmt.Println("fetching Debian's memcached source package")
	parts, lists := filepath.Join(dir, "sources"), filepath.Join(dir, "lists")
	for _, d := range []string{parts, filepath.Join(lists, "partial"), dst} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := sourceLists(parts); err != nil {
		return err
	}
	options := []string{"-qq", "-o", "Dir::Etc::sourcelist=/dev/null", "-o", "Dir::Etc::sourceparts=" + parts, "-o", "Dir::State::lists=" + lists}
	if err := r.fetch(dir, nil, "apt-get", append(options, "update")...); err != nil {
		return err
	}
	if err := r.fetch(dir, nil, "apt-get", append(options, "source", "--download-only", "memcached")...); err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(dir, "memcached_*.orig.tar.*"))
	if err != nil || len(archives) == 0 {
		return fmt.Errorf("no source archive of memcached was fetched: %v", err)
	}
	_, err = r.command(dir, nil, "tar", "xf", archives[0], "-C", dst, "--strip-components=1")
	return err
}

// sourceLists writes the machine's own lists of Debian packages to parts, with sources instead of binaries.
func sourceLists(parts string) error {
	found := false
	for _, pattern := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d/*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			text := string(b)
			if !strings.Contains(strings.ToLower(name+text), "debian") {
				continue
			}
			text = regexp.MustCompile(`(?m)^Types: .*$`).ReplaceAllString(text, "Types: deb-src")
			text = regexp.MustCompile(`(?m)^deb `).ReplaceAllString(text, "deb-src ")
			base := filepath.Base(name)
			if base == "sources.list" {
				base = "main.list"
			}
			if err := os.WriteFile(filepath.Join(parts, base), []byte(text), 0o644); err != nil {
				return err
			}
			found = true
		}
	}
	if !found {
		return fmt.Errorf("no Debian package lists on this machine: set UPSTREAM_TESTS to a folder that holds memcached's t")
	}
	return nil
}
