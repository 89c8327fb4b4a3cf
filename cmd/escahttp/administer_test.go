//go:build linux

package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// admin returns where operators ask.
func (p *process) admin(t *testing.T) string {
	t.Helper()
	var at string
	eventually(t, "it says where operators ask", func() bool {
		m := regexp.MustCompile(`/metrics are on (\S+)`).FindStringSubmatch(p.said())
		if m != nil {
			at = "http://" + m[1]
		}
		return m != nil
	})
	return at
}

func TestMetricsAndHealth(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/site/a.txt", repeat('a', 100_000))
	p := launch(t, nil, nil, "--admin-addr=127.0.0.1:0", "--stop-delay=1m", d+"/site")
	at := p.admin(t)
	for range 3 {
		p.curl(t, "/a.txt")
	}
	p.curl(t, "/nope")
	p.curl(t, "/a.txt", "-I")
	p.answers(t, []ask{
		{at + "/healthz", nil, 200, "ok", nil},
		{at + "/readyz", nil, 200, "ok", nil},
		{at + "/nope", nil, 404, "*", nil},
		{at + "/healthz", []string{"-X", "POST"}, 405, "*", nil},
		{"/metrics", nil, 404, "*", nil}, // not where the clients are
		{"/healthz", nil, 404, "*", nil},
	})
	has := func(line string) bool {
		_, b := p.curl(t, at+"/metrics")
		return strings.Contains("\n"+string(b), "\n"+line)
	}
	for _, line := range []string{`escahttp_answers_total{status="200"} 4`, `escahttp_answers_total{status="404"} 3`, "escahttp_answer_duration_seconds_bucket{le=\"60\"} 7\n",
		"escahttp_ready 1\n", "escahttp_loop_crossings_total ", "escahttp_cache_bytes ", "process_resident_memory_bytes ", "escahttp_sent_bytes_total 300"} {
		eventually(t, "there is "+line, func() bool { return has(line) })
	}
	if err := os.Rename(d+"/site", d+"/away"); err != nil {
		t.Fatal(err)
	}
	p.answers(t, []ask{{at + "/readyz", nil, 503, "stat ", nil}, {at + "/healthz", nil, 200, "ok", nil}})
	if err := os.Rename(d+"/away", d+"/site"); err != nil {
		t.Fatal(err)
	}
	// It is not ready before it stops, and serves until then.
	p.Process.Signal(syscall.SIGTERM)
	eventually(t, "it is not ready", func() bool { r, _ := p.curl(t, at+"/readyz"); return r.StatusCode == 503 })
	p.answers(t, []ask{{"/a.txt", nil, 200, "aaa", nil}})
	time.Sleep(oneStop) // a second signal counts only after that
	p.Process.Signal(syscall.SIGTERM)
	p.ended(t)
}

func TestJSONLog(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/site/a.txt", []byte("hello"))
	p := launch(t, nil, nil, "--access-log="+d+"/log", "--access-log-format=json", d+"/site")
	p.curl(t, "/a.txt?x=%22", "-A", "bad\xff\"\\agent\u00fc", "-e", "http://ref/")
	var line struct {
		Time                                                     time.Time
		Client, Method, Host, URI, Protocol, Referer, User_Agent string
		Status, Bytes                                            int
		Duration                                                 float64
	}
	eventually(t, "the line is written", func() bool {
		b, _ := os.ReadFile(d + "/log")
		return json.Unmarshal(b, &line) == nil
	})
	if line.Client != "127.0.0.1" || line.Method != "GET" || line.URI != "/a.txt?x=%22" || line.Protocol != "HTTP/1.1" || line.Status != 200 || line.Bytes != 5 ||
		line.User_Agent != "bad\ufffd\"\\agent\u00fc" || line.Referer != "http://ref/" || line.Host != p.addr || time.Since(line.Time) > time.Hour {
		t.Errorf("%+v", line)
	}
}
