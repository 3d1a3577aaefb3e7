package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

var (
	pythonPackages = []string{"python3", "python3-venv"}
	nodePackages   = []string{"nodejs", "npm"}
	javaPackages   = []string{"default-jdk-headless", "maven"}
)

// probes are the Debian packages in use, each with a command of sh that succeeds where it, or the same from elsewhere,
// is installed.
var probes = map[string]string{
	"chromium":                     "test -x /usr/bin/chromium",
	"collectd-core":                "test -e /usr/lib/collectd/memcached.so",
	"curl":                         "command -v curl",
	"default-jdk-headless":         "command -v javac",
	"fonts-dejavu-core":            "test -e /usr/share/fonts/truetype/dejavu",
	"haproxy":                      "command -v haproxy",
	"libcache-memcached-fast-perl": "perl -MCache::Memcached::Fast -e 1",
	"libmemcached-tools":           "command -v memccapable",
	"libnginx-mod-http-memc":       "test -e /usr/lib/nginx/modules/ngx_http_memc_module.so",
	"maven":                        "command -v mvn",
	"nginx":                        "command -v nginx",
	"nghttp2-client":               "command -v h2load",
	"nodejs":                       "command -v node",
	"npm":                          "command -v npm",
	"nutcracker":                   "command -v nutcracker",
	"openssl":                      "command -v openssl",
	"perl":                         "perl -MTest::More -e 1",
	"php-cli":                      "command -v php",
	"php-memcached":                "php -r 'exit(class_exists(\"Memcached\") ? 0 : 1);'",
	"prometheus":                   "command -v promtool",
	"python3":                      "command -v python3",
	"python3-pylibmc":              "/usr/bin/python3 -c 'import pylibmc'",
	"varnish":                      "command -v varnishd",
	"wget":                         "command -v wget",
	"wrk":                          "command -v wrk",
	"xz-utils":                     "command -v xz",
	"python3-venv":                 "python3 -c 'import ensurepip'",
}

// absent returns which packages are not there.
func absent(packages []string) (names []string) {
	seen := make(map[string]bool)
	for _, p := range packages {
		if seen[p] {
			continue
		}
		seen[p] = true
		if probe, ok := probes[p]; !ok || exec.Command("sh", "-c", probe).Run() != nil {
			names = append(names, p)
		}
	}
	return names
}

// missing is an error unless all packages are there.
func missing(packages []string) error {
	if names := absent(packages); names != nil {
		return fmt.Errorf("missing: run apt-get install %s", strings.Join(names, " "))
	}
	return nil
}

// fetch runs what takes files from a registry: again, a while later, where that fails.
func (r *runner) fetch(dir string, env []string, name string, args ...string) (err error) {
	for _, pause := range []time.Duration{0, 5 * time.Second, 30 * time.Second} {
		time.Sleep(pause)
		if _, err = r.within(20*time.Minute, dir, env, name, args...); err == nil {
			return nil
		}
	}
	return err
}

// install installs the Debian packages that are not there, without starting what they bring as a service.
func (r *runner) install(packages []string) error {
	names := absent(packages)
	if names == nil || os.Geteuid() != 0 {
		return nil
	}
	fmt.Println("installing", strings.Join(names, " "))
	if err := r.fetch("", nil, "apt-get", "update", "-qq"); err != nil {
		return err
	}
	// invoke-rc.d starts nothing in runlevel 1.
	env := []string{"DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"}
	// Others may be installing something just now.
	options := []string{"install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=600"}
	return r.fetch("", env, "apt-get", append(options, names...)...)
}

// installed returns a folder below the cache that holds these files of clients and what make installed there by them. It
// is made anew when they change.
func (r *runner) installed(kind string, names []string, make func(dir string) error) (string, error) {
	sum := sha256.New()
	for _, name := range names {
		b, err := files.ReadFile("clients/" + name)
		if err != nil {
			return "", err
		}
		sum.Write(b)
	}
	dir := filepath.Join(r.cache, fmt.Sprintf("%s-%x", kind, sum.Sum(nil)[:6]))
	done := filepath.Join(dir, "done")
	if _, err := os.Stat(done); err == nil {
		return dir, nil
	}
	fmt.Println("installing", strings.Join(names, " "))
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, name := range names {
		b, err := files.ReadFile("clients/" + name)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), b, 0o644); err != nil {
			return "", err
		}
	}
	if err := make(dir); err != nil {
		return "", err
	}
	return dir, os.WriteFile(done, nil, 0o644)
}

// virtual returns a folder with a virtual environment that has what a file of clients locks.
func (r *runner) virtual(kind, locked string) (string, error) {
	return r.installed(kind, []string{locked}, func(dir string) error {
		if _, err := r.command(dir, nil, "python3", "-m", "venv", "venv"); err != nil {
			return err
		}
		return r.fetch(dir, nil, "venv/bin/python", "-m", "pip", "install", "-q", "--require-hashes", "-r", locked)
	})
}

// python runs a scenario in a virtual environment with what clients/requirements.txt locks; pip-compile --generate-hashes
// --allow-unsafe makes it from requirements.in.
func python(name string) func(*runner, string) (int, error) {
	return func(r *runner, addr string) (int, error) {
		dir, err := r.virtual("python", "requirements.txt")
		if err != nil {
			return 0, err
		}
		return r.client(name, dir, addr, filepath.Join(dir, "venv/bin/python"))
	}
}

// node runs a scenario beside what clients/package-lock.json locks.
func node(name string) func(*runner, string) (int, error) { return nodeWith("node", "", name) }

// nodeWith runs a scenario beside what the package-lock.json in a folder of clients locks.
func nodeWith(kind, folder, name string) func(*runner, string) (int, error) {
	return func(r *runner, addr string) (int, error) {
		dir, err := r.installed(kind, []string{folder + "package.json", folder + "package-lock.json"}, func(dir string) error {
			return r.fetch(dir, nil, "npm", "ci", "--no-audit", "--no-fund")
		})
		if err != nil {
			return 0, err
		}
		return r.client(name, dir, addr, "node")
	}
}

// java runs a scenario from its source, with the libraries of clients/pom.xml.
func java(name string) func(*runner, string) (int, error) {
	return func(r *runner, addr string) (int, error) {
		dir, err := r.installed("java", []string{"pom.xml"}, func(dir string) error {
			return r.fetch(dir, nil, "mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib")
		})
		if err != nil {
			return 0, err
		}
		return r.client(name, dir, addr, "java", "-cp", filepath.Join(dir, "lib", "*"))
	}
}
