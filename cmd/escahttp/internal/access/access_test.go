package access

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// asked is a static.Request.
type asked struct {
	path, authorization string
	client              netip.Addr
	now                 time.Time
}

func (r asked) Method() []byte          { return []byte("GET") }
func (r asked) Path() []byte            { return []byte(r.path) }
func (r asked) Query() []byte           { return nil }
func (r asked) Host() []byte            { return nil }
func (r asked) Client() netip.Addr      { return r.client }
func (r asked) Secure() bool            { return false }
func (r asked) Headers(string) [][]byte { return nil }
func (r asked) Time() time.Time         { return r.now }
func (r asked) Header(name string) []byte {
	if name == "Authorization" {
		return []byte(r.authorization)
	}
	return nil
}

// status is what step answers r with; 0: nothing.
func status(step static.Step, r asked) int {
	var a static.Answer
	a.SetPath([]byte(r.path))
	if !step.Decide(r, &a) {
		return 0
	}
	return a.Status
}

func hash(t *testing.T, password string) string {
	t.Helper()
	b, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func basic(pair string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}

func TestPasswords(t *testing.T) {
	name := filepath.Join(t.TempDir(), "htpasswd")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# users\nann:" + hash(t, "secret") + "\n\nbob:" + hash(t, "a:b") + "\n")
	p, err := ParsePasswords([]string{"/private/** " + name}, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for range 2 { // checked, and then remembered
		for _, tt := range []struct {
			path, authorization string
			want                int
		}{
			{"/public", "", 0},
			{"/private/x", "", 401},
			{"/private/x", basic("ann:secret"), 0},
			{"/private/x", strings.Replace(basic("ann:secret"), "Basic", "bAsIc", 1), 0},
			{"/private/x", basic("bob:a:b"), 0},
			{"/private/x", basic("ann:wrong"), 401},
			{"/private/x", basic("bob:secret"), 401},
			{"/private/x", basic("eve:secret"), 401},
			{"/private/x", basic("ann:"), 401},
			{"/private/x", basic("ann"), 401},
			{"/private/x", "Basic !!!", 401},
			{"/private/x", "Bearer " + base64.StdEncoding.EncodeToString([]byte("ann:secret")), 401},
			{"/private/x.gz", "", 401},
		} {
			if got := status(p, asked{path: tt.path, authorization: tt.authorization, now: now}); got != tt.want {
				t.Errorf("%s, %q: %d, want %d", tt.path, tt.authorization, got, tt.want)
			}
		}
	}
	// The file is read again when it has changed, and who is not in it any more is not
	// remembered. One that cannot be read leaves those before.
	write("eve:" + hash(t, "secret") + "\n")
	now = now.Add(2 * lookEvery)
	if got := status(p, asked{path: "/private/", authorization: basic("ann:secret"), now: now}); got != 401 {
		t.Errorf("ann, who was removed: %d", got)
	}
	write("nonsense")
	now = now.Add(2 * lookEvery)
	if got := status(p, asked{path: "/private/", authorization: basic("eve:secret"), now: now}); got != 0 {
		t.Errorf("eve, while the file is nonsense: %d", got)
	}
}

func TestBadFiles(t *testing.T) {
	for text, says := range map[string]string{
		"": "nobody in it", "ann": "f, line 1: it is not NAME:HASH", "\nann:{SHA}x": "f, line 2: the hash of \"ann\" is not bcrypt's",
		"u:$2a$18$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy": "f, line 1: the hash of \"u\" has cost 18",
		"a:" + hash(t, "x") + "\na:" + hash(t, "y"):                      "f, line 2: \"a\" is there twice", ":x": "line 1",
	} {
		if _, err := parseUsers("f", []byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRates(t *testing.T) {
	l, err := ParseRates([]string{"2/s", "/api/** 60/m 1"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ask := func(path, client string, after time.Duration) int {
		now = now.Add(after)
		r := asked{path: path, now: now}
		if client != "" {
			r.client = netip.MustParseAddr(client)
		}
		return status(l, r)
	}
	for i, tt := range []struct {
		path, client string
		after        time.Duration
		want         int
	}{
		{"/", "1.1.1.1", 0, 0}, {"/", "1.1.1.1", 0, 0}, {"/", "1.1.1.1", 0, 429}, {"/", "1.1.1.2", 0, 0}, {"/", "::ffff:1.1.1.1", 0, 429},
		{"/", "1.1.1.1", 500 * time.Millisecond, 0}, {"/", "1.1.1.1", 0, 429}, {"/", "1.1.1.1", time.Hour, 0},
		{"/api/x", "2.2.2.2", 0, 0}, {"/api/x", "2.2.2.2", 0, 429}, {"/api/x", "2.2.2.2", time.Second, 0},
		{"/", "2001:db8::1", 0, 0}, {"/", "2001:db8::2", 0, 0}, {"/", "2001:db8::3", 0, 429}, {"/", "2001:db8:0:1::3", 0, 0},
		{"/", "", 0, 0}, {"/", "", 0, 0}, {"/", "", 0, 0}, // over a unix socket nobody can be told apart
	} {
		if got := ask(tt.path, tt.client, tt.after); got != tt.want {
			t.Errorf("%d, %s from %s: %d, want %d", i, tt.path, tt.client, got, tt.want)
		}
	}
	// No more clients are kept than may be.
	for i := range mostClients + 1000 {
		ask("/", netip.AddrFrom4([4]byte{9, byte(i >> 16), byte(i >> 8), byte(i)}).String(), 0)
	}
	if n := len(l[0].clients); n > mostClients {
		t.Errorf("%d clients are kept", n)
	}
	for _, bad := range []string{"", "x", "0/s", "1/d", "1/s 0", "1/s 1 1", "99999999/s"} {
		if _, err := ParseRates([]string{bad}); err == nil {
			t.Errorf("%q is a rate", bad)
		}
	}
}

// A check costs as much for each name, there or not, whatever its hash costs, and with the
// right password and a wrong one: it tells nothing by its time.
func TestCostOfAPassword(t *testing.T) {
	var text []byte
	for name, cost := range map[string]int{"cheap": bcrypt.MinCost, "dear": bcrypt.MinCost + 3, "between": bcrypt.MinCost + 1} {
		hash, err := bcrypt.GenerateFromPassword([]byte("right"), cost)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, name+":"+string(hash)+"\n"...)
	}
	u, err := parseUsers("users", text)
	if err != nil {
		t.Fatal(err)
	}
	spent := 0
	u.compare = func(hash, password []byte) error {
		cost, err := bcrypt.Cost(hash)
		if err != nil {
			t.Error(err)
		}
		spent += 1 << cost
		return bcrypt.CompareHashAndPassword(hash, password)
	}
	for _, name := range []string{"cheap", "dear", "between", "nobody"} {
		for _, password := range []string{"right", "wrong", "no password", ""} {
			spent = 0
			err := u.check(name, password)
			if (err == nil) != (name != "nobody" && password == "right") {
				t.Errorf("%s, %q: %v", name, password, err)
			}
			if want := 1 << (bcrypt.MinCost + 3); spent != want {
				t.Errorf("%s, %q: it costs %d, not %d", name, password, spent, want)
			}
		}
	}
}

var costs = regexp.MustCompile(`\$(\d\d)\$`)

// Whatever is in an htpasswd file, it is read or refused, and a refusal names the line.
func FuzzUsers(f *testing.F) {
	f.Add([]byte("u:$2a$04$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy\n# who\n\n"))
	f.Add([]byte("u:x\n"))
	f.Add([]byte("u"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, m := range costs.FindAllSubmatch(text, -1) {
			if string(m[1]) > "05" {
				return // it takes too long to try
			}
		}
		u, err := parseUsers("users", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "users") {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		for name := range u.hashes {
			if name == "" || strings.ContainsAny(name, ":\n") {
				t.Errorf("%q has a user %q", text, name)
			}
		}
	})
}

// Whatever the field holds, nobody is let in by it, and reading it ends.
func FuzzAuthorization(f *testing.F) {
	f.Add([]byte("Basic YW5uOnNlY3JldA=="))
	f.Add([]byte("basic  =="))
	f.Add([]byte("Basic"))
	f.Fuzz(func(t *testing.T, field []byte) {
		name, password, ok := credentials(field)
		if ok && !strings.Contains(fmt.Sprintf("%s:%s", name, password), ":") || !ok && name+password != "" {
			t.Errorf("%q: %q %q %v", field, name, password, ok)
		}
	})
}
