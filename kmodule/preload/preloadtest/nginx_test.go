//go:build linux && amd64

package preloadtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nginxConf writes a configuration for nginx with the lines of a variant in it, and returns the command.
func nginxConf(t *testing.T, path string, s *site, port int, top, http, server string) []string {
	t.Helper()
	dir := t.TempDir()
	conf := fmt.Sprintf(`daemon off; user root; pid %[1]s/pid; error_log %[1]s/error.log warn; %[4]s
events { worker_connections 2000; }
http {
	access_log off; keepalive_requests 1000000; keepalive_timeout 60;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	%[5]s
	server { listen 127.0.0.1:%[2]d; root %[3]s; %[6]s }
}
`, dir, port, s.dir, top, http, server)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{path, "-c", file, "-e", dir + "/error.log"}
}

var nginxVariants = []struct{ name, top, http, server string }{
	{"one-process", "master_process off;", "sendfile on; open_file_cache max=1000;", ""},
	{"two-workers", "worker_processes 2;", "sendfile on;", ""},
	{"aio-threads", "master_process off;", "sendfile on; aio threads; sendfile_max_chunk 16k;", ""},
	{"nopush", "master_process off;", "sendfile on; tcp_nopush on;", ""},
	{"nagle", "master_process off;", "sendfile on; tcp_nodelay off; tcp_nopush on;", ""},
	{"no-sendfile", "master_process off;", "", ""},
	{"gzip", "master_process off;", "sendfile on; gzip on; gzip_types *; gzip_min_length 1;", ""},
	{"tls", "master_process off;", "sendfile on; ssl_certificate CERT; ssl_certificate_key CERT;", ""},
	{"proxied", "master_process off;", "", "location / { proxy_pass http://BACKEND; proxy_http_version 1.1; proxy_set_header Connection \"\"; }"},
}

func TestNginx(t *testing.T) {
	path := need(t, "nginx", "nginx-light")
	s := makeSite(t, sizes...)
	put := strings.NewReplacer("CERT", certificate(t), "BACKEND", backend(t, s))
	for i, v := range nginxVariants {
		if testing.Short() && i > 2 {
			break
		}
		t.Run(v.name, func(t *testing.T) {
			secure := v.name == "tls"
			// In these it looks meanwhile, and gives up who has half closed.
			halfClose := !secure && v.name != "aio-threads" && v.name != "proxied"
			configure := func(port int) []string {
				argv := nginxConf(t, path, s, port, v.top, put.Replace(v.http), put.Replace(v.server))
				if secure {
					inFile(t, argv[2], fmt.Sprintf("127.0.0.1:%d;", port), fmt.Sprintf("127.0.0.1:%d ssl;", port))
				}
				return argv
			}
			p, addr := serve(t, mode{executor: "off"}, configure)
			want := transcript(t, s, addr, secure)
			p.stop(syscall.SIGTERM)
			ms := executors(t)
			if !required("kmod") {
				ms = append(ms, mode{executor: "plain", apart: true})
			}
			for _, m := range ms {
				t.Run(m.String(), func(t *testing.T) {
					p, addr := serve(t, m, configure)
					same(t, transcript(t, s, addr, secure), want)
					idle := p.descriptors()
					crowd(t, s, addr, secure, 200, 8, 1, halfClose)
					eventually(t, "no descriptor left", func() bool { return p.descriptors() <= idle+2 }) // to the backend, kept
					p.stop(syscall.SIGTERM)
					if out := p.out.String(); !strings.Contains(out, "recorded ") {
						t.Errorf("no statistics: %s", out)
					}
				})
			}
		})
	}
}

// nginx itself gives up a client that has half closed while a send finds no room, so none does.
// A tenth of the seeds for each variant and executor; fifty rounds of faults a process, each from
// where the last has left the sequence.
func TestNginxFaults(t *testing.T) {
	path := need(t, "nginx", "nginx-light")
	s := makeSite(t, 1, 1024, 8192, 20<<10, 65537)
	seeds := max(seeds/10, 4)
	for _, v := range nginxVariants {
		if v.name == "two-workers" || v.name == "tls" || v.name == "proxied" {
			continue
		}
		for _, m := range executors(t) {
			for seed := 1; seed <= seeds; seed += 50 {
				m.faults = uint64(seed)
				t.Run(v.name+"/"+m.String(), func(t *testing.T) {
					p, addr := serve(t, m, func(port int) []string { return nginxConf(t, path, s, port, v.top, v.http, v.server) })
					idle := p.descriptors()
					for r := range min(50, seeds-seed+1) {
						crowd(t, s, addr, false, 16, 4, uint64(seed+r), false)
						if t.Failed() {
							break
						}
					}
					eventually(t, "no descriptor left", func() bool { return p.descriptors() <= idle+1+len(s.names) }) // the watch, and files that it keeps open
					p.stop(syscall.SIGTERM)
				})
			}
		}
	}
}
