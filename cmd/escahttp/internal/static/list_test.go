//go:build unix

package static

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// listed returns the names of a folder's list, by way of JSON.
func (s *served) listed(t *testing.T, path string) (names []string) {
	t.Helper()
	a := s.ask(t, path, "Accept", "application/json")
	var list struct {
		Path    string
		Entries []struct {
			Name, Type string
			Size       *int64
			Modified   time.Time
		}
	}
	if err := json.Unmarshal(a.Text, &list); err != nil || a.Status != 200 || string(a.ContentType) != "application/json" || list.Path != "/"+path {
		t.Fatalf("%s: %d %s %q: %v", path, a.Status, a.ContentType, a.Text, err)
	}
	for _, e := range list.Entries {
		if (e.Type == "file") != (e.Size != nil) || e.Modified.IsZero() {
			t.Errorf("%+v", e)
		}
		names = append(names, e.Name)
	}
	return names
}

func TestList(t *testing.T) {
	s := serve(t, Options{List: true})
	for name, n := range map[string]int{"d/b.txt": 30, "d/A.txt": 20, "d/c.txt": 10, "d/.hidden": 1, "d/sub/x": 1, "i/index.html": 5, "d/.well-known/x": 1, ".well-known/x": 1} {
		s.write(t, name, pattern(n))
		os.Chtimes(s.path(name), time.Unix(int64(n), 0), time.Unix(int64(100-n), 0))
	}
	os.Symlink(t.TempDir(), s.path("d/outside"))
	os.Symlink("nowhere", s.path("d/broken"))
	os.Symlink("b.txt", s.path("d/link"))
	if got := fmt.Sprint(s.listed(t, "d/")); got != "[sub A.txt b.txt c.txt link]" {
		t.Error(got)
	}
	if got := fmt.Sprint(s.listed(t, "")); got != "[.well-known d i]" {
		t.Error(got)
	}
	for path, want := range map[string]int{"d": 301, "i/": 200, "nope/": 404, "d/b.txt/": 404, "d/sub/": 200, "d/outside/": 404} {
		if a := s.ask(t, path); a.Status != want {
			t.Errorf("%s: %d, want %d", path, a.Status, want)
		}
	}
	a := s.ask(t, "d/")
	if again := s.ask(t, "d/", "If-None-Match", a.field("ETag")); again.Status != 304 || again.field("Vary") != "Accept" {
		t.Errorf("%d %v", again.Status, again.Fields)
	}
	s.write(t, "d/new", nil)
	if again := s.ask(t, "d/", "If-None-Match", a.field("ETag")); again.Status != 200 {
		t.Errorf("a file has come: %d", again.Status)
	}
	all := serve(t, Options{List: true, Dotfiles: true})
	all.write(t, ".a", nil)
	if got := fmt.Sprint(all.listed(t, "")); got != "[.a]" {
		t.Error(got)
	}
	if off := serve(t, Options{}).ask(t, ""); off.Status != 404 {
		t.Errorf("off: %d", off.Status)
	}
}

// Names can do nothing to a page, nor lead out of the folder.
func TestListOfOddNames(t *testing.T) {
	s := serve(t, Options{List: true})
	for _, name := range []string{`<script>alert(1)</script>`, "javascript:alert(1)", `"><b>`, "a&b?c#d+e f%41", "ü\n.txt"} {
		s.write(t, strings.ReplaceAll(name, "/", "_"), []byte(name))
	}
	page := string(s.ask(t, "").Text)
	for _, bad := range []string{"<script>alert", `"><b>`, `href="javascript`} {
		if strings.Contains(page, bad) {
			t.Errorf("%q is in the page", bad)
		}
	}
	for _, link := range []string{`href="./a&amp;b%3Fc%23d%2Be%20f%2541"`, `href="./javascript:alert%281%29"`} {
		if !strings.Contains(page, link) {
			t.Errorf("%s is not in the page: %s", link, page)
		}
	}
}

func TestListOrder(t *testing.T) {
	list := []entry{{"b", false, 1, 3}, {"a", false, 3, 2}, {"C", false, 2, 1}, {"z", true, 9, 9}}
	for query, want := range map[string]string{
		"": "[z a b C]", "sort=name&order=desc": "[z C b a]", "sort=size": "[z b C a]", "sort=size&order=desc": "[z a C b]",
		"sort=time": "[z C a b]", "sort=nonsense": "[z a b C]",
	} {
		order := orderOf(parseQuery(t, query))
		order.sort(list)
		var names []string
		for _, e := range list {
			names = append(names, e.name)
		}
		if got := fmt.Sprint(names); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

func TestHumanSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 5 << 30: "5.0 GiB", 1<<63 - 1: "8.0 EiB"} {
		if got := humanSize(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// A large folder is listed in part.
func TestListIsBounded(t *testing.T) {
	s := serve(t, Options{List: true})
	for i := range mostListed + 5 {
		if err := os.WriteFile(s.path(fmt.Sprint(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.listed(t, ""); len(got) != mostListed {
		t.Errorf("%d entries", len(got))
	}
	if page := s.ask(t, ""); !strings.Contains(string(page.Text), "the first 10000 are shown") {
		t.Error("it does not say so")
	}
}

func TestHidden(t *testing.T) {
	for path, want := range map[string]bool{
		"/.git/config": true, "/a/.env": true, "/.well-known/acme-challenge/x": false, "/.well-known": false, "/.well-known/.x": true, "/.well-knownx": true,
		"/a/.well-known/x": true, "/a.b/c.d": false, "/": false, "/...": true,
	} {
		a := Answer{path: []byte(path)}
		if got := (Hidden{}).Decide(nil, &a); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func parseQuery(t *testing.T, query string) url.Values {
	t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return q
}
