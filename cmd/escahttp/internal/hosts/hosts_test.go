package hosts

import "testing"

func TestNames(t *testing.T) {
	var n Names[string]
	for _, name := range []string{"example.org", "*.example.org", "a.example.org", "*.b.Example.org", "localhost"} {
		if err := n.Add(name, name); err != nil {
			t.Fatal(err)
		}
	}
	for host, want := range map[string]string{
		"example.org": "example.org", "EXAMPLE.org:8080": "example.org", "example.org.": "example.org", "a.example.org": "a.example.org", "x.example.org": "*.example.org",
		"x.b.example.org": "*.b.Example.org", "b.example.org": "*.example.org", "x.y.example.org": "*.example.org", "badexample.org": "", ".example.org": "", "": "", "[::1]": "", "[::1]:80": "",
		"localhost:1": "localhost", ":": "",
	} {
		if got, ok := n.Get([]byte(host)); got != want || ok != (want != "") {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
	for _, bad := range []string{"", "*", "*.", "*x.org", "a b", "example.org", "*.example.org", "a..b", "x.org/", "x:80"} {
		if err := n.Add(bad, ""); err == nil {
			t.Errorf("%q is a name", bad)
		}
	}
	if testing.AllocsPerRun(100, func() { n.Get([]byte("x.b.example.org:443")) }) > 0 {
		t.Error("looking allocates")
	}
}
