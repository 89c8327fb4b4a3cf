//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What serves, but not as it was meant, is said in a line that names the flag: by check, and at the start
// if nobody could have meant it.
func TestSurprises(t *testing.T) {
	d := t.TempDir()
	site := d + "/site"
	for _, name := range []string{"index.html", "404.html", "docs/404.html", ".htpasswd", "notes.txt", "other/x"} {
		put(t, site+"/"+name, []byte("x"))
	}
	var coded bytes.Buffer
	z := gzip.NewWriter(&coded)
	z.Write([]byte("x"))
	z.Close()
	put(t, site+"/app.html.gz", coded.Bytes())
	users := []byte("u:$2a$04$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy\n")
	put(t, site+"/users", users)
	put(t, site+"/.users", users)
	put(t, d+"/off", nil)
	certificate(t, d, "example.org")
	now := time.Now()
	certificateOf(t, d+"/old", "example.org", now.Add(-2*time.Hour), now.Add(-time.Hour))
	certificateOf(t, d+"/new", "example.org", now.Add(time.Hour), now.Add(2*time.Hour))
	encrypted := []string{"--tls-cert=" + d + "/c", "--tls-key=" + d + "/k"}
	with := func(args ...string) []string { return append(args, site) }
	for _, tt := range []struct {
		name    string
		args    []string
		says    string // empty: nothing
		checked bool   // it is only check that says it
	}{
		{"nothing", with("--list"), "", false},
		{"spa", with("--spa=/nope.html"), "--spa=/nope.html: there is no such page beneath " + site, false},
		{"spa is there", with("--spa=/index.html"), "", false},
		{"spa, coded", with("--spa=/app.html"), "", false},
		{"error page", with("--error-page=404 /nope.html"), "--error-page='404 /nope.html': there is no /nope.html beneath " + site, false},
		{"error page of folders", with("--error-page=404 nope.html"), "there is no /nope.html beneath", false},
		{"error pages that are there", with("--error-page=404 404.html", "--error-page=/docs/** 404 /docs/404.html", "--error-page=/docs/** 403 x.html"), "", false},
		{"host's", with("--host=example.org "+site+"/other", "--spa=/index.html"), "there is no such page beneath " + site + "/other", false},
		{"maintenance", with("--maintenance=" + d + "/off"), "--maintenance=" + d + "/off: the file exists", false},
		{"no maintenance", with("--maintenance=" + d + "/no"), "", false},
		{"ended", with("--tls-cert="+d+"/old/c", "--tls-key="+d+"/old/k"), "the certificate " + d + "/old/c has ended on ", false},
		{"not begun", with("--tls-cert="+d+"/new/c", "--tls-key="+d+"/new/k"), "the certificate " + d + "/new/c begins on ", false},
		{"for another host", with(append(encrypted, "--host=*.example.com "+site+" "+d+"/c "+d+"/k")...), "is not for *.example.com, where clients refuse it: give one that is (it is for example.org)", false},
		{"for the host", with(append(encrypted, "--host=example.org "+site+" "+d+"/c "+d+"/k")...), "", false},
		{"passwords for everybody", with("--basic-auth=/docs/** " + site + "/users"), "--basic-auth: " + site + "/users is beneath " + site + ", and whoever asks for /users gets it", false},
		{"hidden passwords", with("--basic-auth=/docs/** " + site + "/.users"), "", false},
		{"passwords behind themselves", with("--basic-auth=" + site + "/users"), "", false},
		{"passwords for nobody", with("--basic-auth=/docs/** "+site+"/users", "--deny=/users 0.0.0.0/0,::/0"), "", false},
		{"no index", []string{"--index=home.html", site}, site + " has no home.html, and / gets 404", true},
		{"no index, a list", []string{"--index=home.html", "--list", site}, "", false},
		{"half", with("--archive-size=5"), "--archive-size does nothing without --archive", true},
		{"a whole", with("--archive", "--archive-size=5"), "", false},
		{"format of no log", with("--access-log-format=json"), "--access-log-format does nothing without --access-log", true},
		{"port of no redirect", with("--https-port=8443"), "--https-port does nothing without --https-redirect", true},
		{"field of no proxy", with("--real-ip=forwarded"), "--real-ip does nothing without --trusted-proxies", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stderr strings.Builder
			cmd := escahttp(append([]string{"check", "--addr=127.0.0.1:0"}, tt.args...)...)
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			said := strings.TrimSuffix(stderr.String(), "\n")
			if err != nil || !strings.HasPrefix(string(out), "flags: good: ") || (said != "") != (tt.says != "") || strings.Contains(said, "\n") || !strings.Contains(said, tt.says) {
				t.Errorf("check says %q and %q, %v", out, said, err)
			}
			if tt.says == "" || tt.checked {
				return
			}
			p := launch(t, nil, nil, tt.args...)
			eventually(t, "it says the same when it starts: "+tt.says, func() bool { return strings.Contains(p.said(), tt.says) })
		})
	}
}

// check makes no file and no folder, and says of each thing that could not be made what it is.
func TestCheckMakesNothing(t *testing.T) {
	d := t.TempDir()
	put(t, d+"/site/index.html", nil)
	put(t, d+"/file", nil)
	used, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	port, err := net.Listen("tcp", ":0") // that nobody has
	if err != nil {
		t.Fatal(err)
	}
	_, free, _ := net.SplitHostPort(port.Addr().String())
	port.Close()
	live, err := net.Listen("unix", d+"/live")
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	certificate(t, d, "one")
	long := "unix:" + d + "/" + strings.Repeat("x", 108)
	before := tree(t, d)
	for _, tt := range []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"log", []string{"--access-log=" + d + "/log"}, 0, ""},
		{"log that is there", []string{"--access-log=" + d + "/file"}, 0, ""},
		{"log in no folder", []string{"--access-log=" + d + "/no/log"}, 1, "--access-log=" + d + "/no/log: "},
		{"log that is a folder", []string{"--access-log=" + d}, 1, "is a directory: name a file"},
		{"certificates", []string{"--acme=example.org", "--acme-dir=" + d + "/a/b"}, 0, ""},
		{"certificates in a file", []string{"--acme=example.org", "--acme-dir=" + d + "/file/a"}, 1, "say where else by --acme-dir"},
		{"authority", []string{"--acme=example.org", "--acme-dir=" + d + "/a", "--acme-server-ca=/no/ca"}, 1, "--acme-server-ca: open /no/ca"},
		{"authority's file", []string{"--acme=example.org", "--acme-dir=" + d + "/a", "--acme-server-ca=" + d + "/file"}, 1, "holds no certificate (PEM)"},
		{"socket", []string{"--listen=unix:" + d + "/s"}, 0, ""},
		{"socket in no folder", []string{"--listen=unix:" + d + "/no/s"}, 1, "make the folder, or choose another path"},
		{"socket that is a file", []string{"--listen=unix:" + d + "/file"}, 1, "is no socket: remove it"},
		{"foreign address", []string{"--listen=192.0.2.1:0"}, 1, "--listen=192.0.2.1:0: that is no address of this machine"},
		{"foreign address for operators", []string{"--admin-addr=192.0.2.1:0"}, 1, "--admin-addr=192.0.2.1:0: that is no address of this machine"},
		{"in use", []string{"--listen=" + used.Addr().String()}, 0, "is in use at present"},
		{"the same twice", []string{"--listen=:8765", "--admin-addr=:8765"}, 2, "--admin-addr=:8765 is that of --listen=:8765 already"},
		{"one within the other", []string{"--listen=127.0.0.1:" + free, "--listen=:" + free}, 1, "--listen=:" + free + " overlaps --listen=127.0.0.1:" + free},
		{"socket in use", []string{"--listen=unix:" + d + "/live"}, 0, "--listen=unix:" + d + "/live is in use at present"},
		{"socket of a long name", []string{"--listen=" + long}, 2, "--listen=" + long + ": "},
		{"datagrams", []string{"--http3", "--tls-cert=" + d + "/c", "--tls-key=" + d + "/k", "--listen=" + udp.LocalAddr().String()}, 0, "--http3: the UDP port of --listen=" + udp.LocalAddr().String() + " is in use"},
		{"key of a host", []string{"--tls-cert=/no/c", "--tls-key=/no/k"}, 1, "--tls-cert=/no/c, --tls-key=/no/k: the certificate: open /no/c"},
		{"sandbox", []string{"--sandbox=required"}, 0, "sandbox: Landlock"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := escahttp(append(append([]string{"check", "--addr=127.0.0.1:0"}, tt.args...), d+"/site")...)
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != tt.status || !strings.Contains(string(out), tt.says) {
				t.Errorf("%s, %v", out, err)
			}
			if after := tree(t, d); after != before {
				t.Errorf("there is %s", after)
			}
		})
	}
}

// tree is what is beneath dir.
func tree(t *testing.T, dir string) (all string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		all += path + "\n"
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Where only some may read, check says so as who serves would: it becomes that user.
func TestCheckAsAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may become another user")
	}
	d, err := os.MkdirTemp("", "escahttp")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(d)
	if out, err := exec.Command("chmod", "700", d).CombinedOutput(); err != nil {
		t.Fatal(string(out))
	}
	out, err := escahttp("check", "--addr=127.0.0.1:0", "--user=nobody", d).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "may not be entered by this user") {
		t.Errorf("%s, %v", out, err)
	}
}
