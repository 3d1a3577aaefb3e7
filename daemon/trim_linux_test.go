package daemon

import (
	"os"
	"reflect"
	"testing"
	"testing/fstest"
)

func TestClean(t *testing.T) {
	const smaps = `00400000-00ad9000 r-xp 00000000 fe:00 100                                /bin/latticed
Size:               7012 kB
Rss:                6036 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me 
00ad9000-01269000 r--p 006d9000 fe:00 100                                /bin/latticed
Rss:                6036 kB
Anonymous:             4 kB
01269000-01398000 rw-p 00e69000 fe:00 100                                /bin/latticed
Anonymous:             0 kB
01398000-03406000 r--p 00000000 00:00 0 
Anonymous:             0 kB
7ffc0000-7ffc2000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
7ffd0000-7ffd4000 r--p 00002000 fe:00 101                        /lib/with a space (deleted)
Anonymous:             0 kB
`
	got := clean(fstest.MapFS{"proc/self/smaps": {Data: []byte(smaps)}})
	if want := []mapping{{0x400000, 0xad9000}, {0x7ffd0000, 0x7ffd4000}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// TestTrim trims the test itself, which then goes on.
func TestTrim(t *testing.T) {
	if len(clean(os.DirFS("/"))) == 0 {
		t.Error("nothing of the program is found")
	}
	trim(os.DirFS("/"))
	if len(clean(os.DirFS("/"))) == 0 {
		t.Error("afterwards, nothing of the program is found")
	}
}
