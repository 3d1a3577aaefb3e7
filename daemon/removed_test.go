package daemon_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/latticed/latticed/daemon/daemontest"
)

// TestListingOfARemovedCache removes a cache while its entries are told: who reads learns that this is not all.
func TestListingOfARemovedCache(t *testing.T) {
	for name, client := range framings {
		for _, test := range []struct {
			action     string
			count      int
			key, value int
		}{{"entries", 120, 10, 100_000}, {"keys", 3000, 3900, 1}} { // more than is on its way
			t.Run(name+" "+test.action, func(t *testing.T) {
				d := daemontest.Boot(t, daemontest.AnyPort)
				web := client(t, d)
				call(t, web, "POST", "/rest/v2/caches/c", strings.NewReader(`{"local-cache":{}}`), "Content-Type", "application/json")
				for i := range test.count {
					call(t, web, "PUT", fmt.Sprintf("/rest/v2/caches/c/%0*d", test.key, i), strings.NewReader(strings.Repeat("v", test.value)))
				}
				read := func(meanwhile func()) error {
					t.Helper()
					a, err := web.Get("http://localhost/rest/v2/caches/c?action=" + test.action)
					if err != nil {
						t.Fatal(err)
					}
					defer a.Body.Close()
					if _, err := io.CopyN(io.Discard, a.Body, 1000); err != nil || a.StatusCode != http.StatusOK {
						t.Fatalf("got %d, %v", a.StatusCode, err)
					}
					meanwhile()
					n, err := io.Copy(io.Discard, a.Body)
					if err == nil && n < int64(test.count*(test.key+test.value)) {
						t.Errorf("%d bytes seem to be all", n)
					}
					return err
				}
				if err := read(func() {}); err != nil {
					t.Errorf("a whole listing ends with %v", err)
				}
				if err := read(func() {
					if a, _ := call(t, web, "DELETE", "/rest/v2/caches/c", nil); a.StatusCode != http.StatusOK {
						t.Errorf("remove: got %d", a.StatusCode)
					}
				}); err == nil {
					t.Error("a listing of a cache that was removed ends as if it was whole")
				}
			})
		}
	}
}
