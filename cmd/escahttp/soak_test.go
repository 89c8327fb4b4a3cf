//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestSoak has files replaced, written over, cut off, removed and re-linked by
// five writers while clients fetch them, whole and in ranges, and checks every
// body against the version that its tag names. ESCAHTTP_SOAK says for how long;
// `make soak` takes ten minutes.
func TestSoak(t *testing.T) {
	length := 3 * time.Second
	if s := os.Getenv("ESCAHTTP_SOAK"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatalf("ESCAHTTP_SOAK=%s: give a time, such as 10m", s)
		}
	}
	s := &soak{t: t, root: t.TempDir(), quit: make(chan struct{}), known: map[string]*seen{}}
	for i := range soakNames {
		put(t, s.path(i), block(i, 0, soakSize(i)))
	}
	os.Symlink(s.root+"/sub", s.root+"/link")
	s.p = launch(t, nil, nil, "--revalidate=100ms", "--access-log=/dev/null", s.root)
	s.before = s.descriptors()
	var all sync.WaitGroup
	for w := range 5 {
		all.Go(func() { s.write(rand.New(rand.NewPCG(uint64(w), 1))) })
	}
	for c := range 4 {
		all.Go(func() { s.fetch(rand.New(rand.NewPCG(uint64(c), 2)), c%2 == 1) })
	}
	if wrk, err := exec.LookPath("wrk"); err == nil {
		load := exec.Command(wrk, "-t1", "-c20", "-d"+strconv.Itoa(int(length.Seconds()))+"s", "http://"+s.p.addr+"/sub/3")
		if err := load.Start(); err != nil {
			t.Fatal(err)
		}
		defer load.Wait()
	}
	time.Sleep(length)
	close(s.quit)
	all.Wait()
	t.Logf("%d bodies were whole and %d ranges, %d had no tag, %d were broken off, %d were not there; %d versions",
		s.whole.Load(), s.ranges.Load(), s.untagged.Load(), s.broken.Load(), s.absent.Load(), s.written.Load())
	if s.whole.Load() == 0 || s.ranges.Load() == 0 || s.written.Load() == 0 {
		t.Error("that is no soak")
	}
	s.checkEnd()
}

const soakNames = 12

// soakSize is how large a file is at first: some of each kind.
func soakSize(i int) int {
	return []int{0, 1000, 8 << 10, 20 << 10, 64 << 10, 100_000, 1<<20 + 4096, 3 << 20}[i%8]
}

type soak struct {
	t     *testing.T
	p     *process
	root  string
	quit  chan struct{}
	locks [soakNames]sync.Mutex // a file has one writer at a time
	next  atomic.Uint32

	before int // descriptors

	mu    sync.Mutex
	known map[string]*seen // by path and tag

	whole, ranges, untagged, broken, absent, written atomic.Int64
}

// seen is what a tag was seen to name.
type seen struct {
	sum  [32]byte
	body []byte // nil: forgotten
}

func (s *soak) path(i int) string { return fmt.Sprintf("%s/sub/%d", s.root, i) }

// block is a version of a file, of which every 16 bytes tell which, and where.
func block(file int, version uint32, size int) []byte {
	b := make([]byte, 0, size+16)
	for at := 0; at < size; at += 16 {
		b = binary.LittleEndian.AppendUint32(b, uint32(file))
		b = binary.LittleEndian.AppendUint32(b, version)
		b = binary.LittleEndian.AppendUint64(b, uint64(at))
	}
	return b[:size]
}

func (s *soak) ended() bool {
	select {
	case <-s.quit:
		return true
	default:
		return false
	}
}

// write does to files what builds, editors, deployments and accidents do.
func (s *soak) write(r *rand.Rand) {
	for !s.ended() {
		i := r.IntN(soakNames)
		s.locks[i].Lock()
		v := s.next.Add(1)
		path, size := s.path(i), max(soakSize(i)-r.IntN(3)*100, 0)
		fresh := block(i, v, size)
		switch r.IntN(7) {
		case 0, 1: // replaced
			os.WriteFile(path+".new", fresh, 0o644)
			if r.IntN(2) == 0 {
				os.Chtimes(path+".new", time.Unix(1, 0), time.Unix(1, 0))
			}
			os.Rename(path+".new", path)
		case 2: // written over, a page at a time
			if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
				for at := 0; at < size; at += 4096 {
					f.WriteAt(fresh[at:min(at+4096, size)], int64(at))
				}
				f.Close()
			}
		case 3: // cut off
			os.Truncate(path, int64(size/2))
		case 4: // removed and made anew
			os.Remove(path)
			os.WriteFile(path, fresh, 0o644)
		case 5: // re-linked
			os.Symlink(s.root+"/sub", s.root+"/link.new")
			os.Rename(s.root+"/link.new", s.root+"/link")
			os.Link(path, path+".link")
			os.Remove(path + ".link")
		case 6: // written over at once, as cp does
			os.WriteFile(path, fresh, 0o644)
		}
		s.locks[i].Unlock()
		s.written.Add(1)
		time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond)
	}
}

// fetch fetches files, some slowly, and checks what comes.
func (s *soak) fetch(r *rand.Rand, slow bool) {
	var c net.Conn
	var br *bufio.Reader
	for !s.ended() {
		if c == nil {
			var err error
			if c, err = net.Dial("tcp", s.p.addr); err != nil {
				s.t.Error(err)
				return
			}
			br = bufio.NewReader(c)
		}
		i := r.IntN(soakNames)
		path, header := fmt.Sprintf("/%s/%d", []string{"sub", "link"}[r.IntN(2)], i), ""
		if r.IntN(2) == 0 {
			from := r.IntN(soakSize(i) + 1)
			header = fmt.Sprintf("Range: bytes=%d-%d\r\n", from, from+r.IntN(100_000))
		}
		pause := time.Duration(0)
		if slow && r.IntN(8) == 0 {
			pause = time.Duration(r.IntN(200)) * time.Millisecond
		}
		if !s.exchange(c, br, path, header, slow, pause) {
			c.Close()
			c = nil
		}
	}
	if c != nil {
		c.Close()
	}
}

// exchange makes one request; false: the connection is over.
func (s *soak) exchange(c net.Conn, br *bufio.Reader, path, header string, slow bool, pause time.Duration) bool {
	c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n", path, header)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		s.broken.Add(1)
		return false
	}
	var b []byte
	if slow {
		// Now and then all of it is on its way, or as much as the kernel takes, when
		// the file changes.
		if pause > 0 {
			time.Sleep(pause)
		}
		var all bytes.Buffer
		for err == nil {
			_, err = io.CopyN(&all, resp.Body, 200_000)
			time.Sleep(time.Millisecond)
		}
		if err == io.EOF {
			err = nil
		}
		b = all.Bytes()
	} else {
		b, err = io.ReadAll(resp.Body)
	}
	if err != nil {
		s.broken.Add(1)
		return false
	}
	s.check(resp, path, b)
	return !resp.Close
}

// check checks a body that came whole.
func (s *soak) check(resp *http.Response, path string, b []byte) {
	tag := resp.Header.Get("ETag")
	switch resp.StatusCode {
	case 404, 416:
		s.absent.Add(1)
		return
	case 200, 206:
	default:
		s.t.Errorf("%s: %s", path, resp.Status)
		return
	}
	if tag == "" {
		s.untagged.Add(1)
		return
	}
	key := path + tag
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.known[key]
	if resp.StatusCode == 206 {
		s.ranges.Add(1)
		from, to, size := 0, 0, 0
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &size); err != nil || len(b) != to+1-from {
			s.t.Errorf("%s: %q of %d bytes", path, resp.Header.Get("Content-Range"), len(b))
		} else if k != nil && k.body != nil && (len(k.body) != size || !bytes.Equal(b, k.body[from:to+1])) {
			s.t.Errorf("%s: bytes %d to %d of %d are not those of %s, which has %d", path, from, to, size, tag, len(k.body))
		}
		return
	}
	s.whole.Add(1)
	sum := sha256.Sum256(b)
	if len(tag) == 24 { // by contents
		if name := `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`; name != tag {
			s.t.Errorf("%s: a body of %d bytes is sent as %s, and is %s", path, len(b), tag, name)
		}
	}
	if k != nil && k.sum != sum {
		s.t.Errorf("%s: %s names two versions, of which one has %d bytes", path, tag, len(b))
	}
	if k == nil {
		for old, o := range s.known {
			if len(s.known) < 300 {
				break
			}
			o.body = nil
			delete(s.known, old)
		}
		s.known[key] = &seen{sum, b}
	}
}

// descriptors returns how many the server has, but for its copies.
func (s *soak) descriptors() int { return len(s.p.opens("")) - len(s.p.opens("/memfd:")) }

// checkEnd checks what is left when nobody writes and nobody asks any more.
func (s *soak) checkEnd() {
	t := s.t
	for i := range soakNames {
		want, err := os.ReadFile(s.path(i))
		if err != nil {
			continue
		}
		eventually(t, fmt.Sprintf("%d is served as it is", i), func() bool {
			_, b, err := s.p.try(fmt.Sprintf("/link/%d", i))
			return err == nil && bytes.Equal(b, want)
		})
	}
	eventually(t, "nothing is kept open", func() bool { return len(s.p.opens(s.root)) == 0 })
	eventually(t, "no descriptor is left", func() bool { return s.descriptors() <= s.before })
	if n := len(s.p.opens("/memfd:")); n > soakNames {
		t.Errorf("there are %d copies of %d files", n, soakNames)
	}
	s.p.Process.Signal(syscall.SIGTERM)
	if err := s.p.ended(t); err != nil {
		t.Error(err)
	}
	for _, line := range strings.Split(s.p.said(), "\n") {
		if strings.Contains(line, "panic") || strings.Contains(line, "DATA RACE") {
			t.Errorf("it said %s", line)
		}
	}
}
