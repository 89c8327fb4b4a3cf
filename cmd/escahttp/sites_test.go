//go:build linux

package main

import (
	"crypto/tls"
	"testing"
)

func TestVirtualHosts(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	for _, name := range []string{"default", "org", "net"} {
		put(t, d+"/"+name+"/index.html", []byte(name))
		put(t, d+"/"+name+"/404.html", []byte("no "+name))
		certificate(t, d+"/"+name, name)
	}
	cert := func(name string) string { return d + "/" + name + "/c " + d + "/" + name + "/k" }
	p := launch(t, nil, nil, "--listen=http://127.0.0.1:0", "--tls-cert="+d+"/default/c", "--tls-key="+d+"/default/k", "--error-page=404 404.html",
		"--host=example.org,*.example.org "+d+"/org "+cert("org"), "--host=*.example.net "+d+"/net", d+"/default")
	for name, want := range map[string]string{"example.org": "org", "a.example.org": "org", "a.example.net": "default", "": "default", "other.org": "default"} {
		c, err := tls.Dial("tcp", p.addr, &tls.Config{InsecureSkipVerify: true, ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.ConnectionState().PeerCertificates[0].Subject.CommonName; got != want {
			t.Errorf("%s is presented the certificate of %s", name, got)
		}
		c.Close()
	}
	url := "https://" + p.addr
	p.answers(t, []ask{
		{url + "/", []string{"-k", "--http1.1", "-H", "Host: Example.org:443"}, 200, "org", nil},
		{url + "/nope", []string{"-k", "--http1.1", "-H", "Host: x.example.org"}, 404, "no org", nil},
		{url + "/", []string{"-k", "--http1.1", "-H", "Host: x.example.net"}, 200, "net", nil},
		{url + "/", []string{"-k", "--http1.1", "-H", "Host: example.net"}, 200, "default", nil},
		{url + "/", []string{"-k", "--http1.1"}, 200, "default", nil},
	})
}
