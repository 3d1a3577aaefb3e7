package rest

// field is a header field that means something here.
type field uint8

const (
	fOther field = iota
	fAccept
	fAcceptEncoding
	fAccessMethod // of a CORS preflight
	fCacheControl
	fContentEncoding
	fContentType
	fFlags
	fForwarded
	fForwardedFor
	fForwardedHost
	fForwardedProto
	fHost
	fIdle
	fIfMatch
	fIfModifiedSince
	fIfNoneMatch
	fIfUnmodifiedSince
	fKeyContentType
	fMemcachedFlags
	fOrigin
	fSecFetchMode
	fSecFetchSite
	fTTL
	fUserAgent
	numFields
)

// fieldNames are spelled as fasthttp normalises them.
var fieldNames = [numFields]string{
	fAccept: "Accept", fAcceptEncoding: "Accept-Encoding", fAccessMethod: "Access-Control-Request-Method",
	fCacheControl: "Cache-Control", fContentEncoding: "Content-Encoding", fContentType: "Content-Type", fFlags: "Flags",
	fForwarded: "Forwarded", fForwardedFor: "X-Forwarded-For", fForwardedHost: "X-Forwarded-Host", fForwardedProto: "X-Forwarded-Proto",
	fHost: "Host", fIdle: "Maxidletimeseconds", fIfMatch: "If-Match", fIfModifiedSince: "If-Modified-Since",
	fIfNoneMatch: "If-None-Match", fIfUnmodifiedSince: "If-Unmodified-Since", fKeyContentType: "Key-Content-Type", fMemcachedFlags: "Memcached-Flags",
	fOrigin: "Origin", fSecFetchMode: "Sec-Fetch-Mode", fSecFetchSite: "Sec-Fetch-Site", fTTL: "Timetoliveseconds",
	fUserAgent: "User-Agent",
}

// byLength holds the fields by the length of their names: most names are settled by it alone.
var byLength = func() (table [32][]field) {
	for f := fOther + 1; f < numFields; f++ {
		n := len(fieldNames[f])
		table[n] = append(table[n], f)
	}
	return table
}()

func fieldOf(name []byte) field {
	if len(name) >= len(byLength) {
		return fOther
	}
	for _, f := range byLength[len(name)] {
		if equalFold(name, fieldNames[f]) {
			return f
		}
	}
	return fOther
}

// equalFold compares ASCII without regard to case.
func equalFold(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		if lower(c) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
