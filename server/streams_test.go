package server_test

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	dateLine = regexp.MustCompile(`\r\nDate: [^\r\n]*`)
	tcpAddr  = regexp.MustCompile(`127\.\d+\.\d+\.\d+:\d+`)
)

// bodyLimit is the MaxRequestBodySize of the servers of the differential test.
const bodyLimit = 128 << 10

// maskDate hides the only header that tells two moments apart.
func maskDate(s string) string { return dateLine.ReplaceAllString(s, "\r\nDate: now") }

// maskAddrs hides addresses, of which the ports differ.
func maskAddrs(s string) string { return tcpAddr.ReplaceAllString(s, "addr") }

// stream is what a client sends on one connection.
type stream struct {
	name string
	data string
	cuts []int // where data is cut into writes; none: one write
}

// pieces returns the writes.
func (s stream) pieces() []string {
	var p []string
	last := 0
	for _, at := range s.cuts {
		p = append(p, s.data[last:at])
		last = at
	}
	return append(p, s.data[last:])
}

// atEveryByte returns s cut in two, in every way.
func (s stream) atEveryByte() []stream {
	var all []stream
	for i := 1; i < len(s.data); i++ {
		all = append(all, stream{fmt.Sprintf("%s, cut at %d", s.name, i), s.data, []int{i}})
	}
	return all
}

// dripped returns s cut into single bytes.
func (s stream) dripped() stream {
	d := stream{s.name + ", dripped", s.data, nil}
	for i := 1; i < len(s.data); i++ {
		d.cuts = append(d.cuts, i)
	}
	return d
}

// The requests that streams are made of. The server is that of differential_test.go.
const (
	get      = "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"
	headOnly = "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n"
	post     = "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
	chunked  = "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
	expects  = "POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
	last     = "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	bad      = "GET  / nonsense\r\n\r\n"
)

// splitStreams are cut at every byte.
var splitStreams = []stream{
	{name: "get", data: get},
	{name: "two gets", data: get + last},
	{name: "post", data: post + last},
	{name: "chunked", data: chunked + last},
	{name: "chunked with trailer", data: "POST /c HTTP/1.1\r\nHost: x\r\nTrailer: T\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n" + get},
	{name: "expect", data: expects + "hello" + get},
	{name: "head", data: headOnly + get},
	{name: "HTTP/1.0", data: "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n"},
	{name: "bare LF", data: "GET / HTTP/1.1\nHost: x\n\n" + get},
	{name: "malformed second", data: get + bad + get},
	{name: "malformed header", data: "GET / HTTP/1.1\r\nHost : x\r\n\r\n" + get},
	{name: "bad chunk", data: "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n" + get},
	{name: "hijack", data: "GET /hijack HTTP/1.1\r\nHost: x\r\n\r\nleft over bytes"},
	{name: "leading CRLF", data: "\r\n\r\n" + get},
}

// streams are the cases, each with a name of its own.
func streams() []stream {
	var all []stream
	add := func(name, data string) { all = append(all, stream{name: name, data: data}) }
	// request is one with the line and headers given, and a good one behind it.
	request := func(name, head, body string) { add(name, head+"\r\n\r\n"+body+last) }

	all = append(all, splitStreams...)
	addNothings(add)
	addRequestLines(request)
	addHeaders(request)
	addBodies(request, add)
	addChunks(request)
	addSmuggling(request)
	addExpectations(request, add)
	addConnections(request, add)
	addPipelines(add)
	addSizes(request, add)
	addResponses(request)
	addTruncated(add)
	return all
}

func addNothings(add func(name, data string)) {
	add("nothing", "")
	for _, s := range []string{"\r\n", "\n", "\r", "\r\n\r\n", "\n\n\n\n", "\r\r\r\r", " ", "\t\r\n\r\n", "\x00", "\x00\r\n\r\n", "G", "GET", "\xff\xfe\r\n\r\n"} {
		add(fmt.Sprintf("only %q", s), s)
	}
	add("many CRLFs", strings.Repeat("\r\n", 3000))
	add("many CRLFs and a get", strings.Repeat("\r\n", 100)+get)
	add("CRLFs between", get+"\r\n"+get+"\r\n\r\n"+last)
	add("TLS ClientHello", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"+strings.Repeat("\x5a", 32)+"\x20"+strings.Repeat("\xa5", 32)+
		"\x00\x06\x13\x01\x13\x02\x13\x03\x01\x00\x00\x52\x00\x0a\x00\x04\x00\x02\x00\x1d"+strings.Repeat("\x00\x0d", 30))
	add("TLS ClientHello with line feeds", "\x16\x03\x01\x00\x0a\x01\x0a\x0d\x0a\x0d\x0a\x00\x00")
	add("SSH", "SSH-2.0-OpenSSH_9.6\r\n")
	add("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	add("PROXY protocol", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"+get)
	add("response", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"+get)
	add("noise", strings.Repeat("\x80\x01nonsense\x7f", 400))
	add("noise in lines", strings.Repeat("\x80\x01nonsense\x7f\r\n", 400))
}

func addRequestLines(request func(name, head, body string)) {
	for _, line := range []string{
		"GET / HTTP/1.1", "GET  / HTTP/1.1", "GET /  HTTP/1.1", " GET / HTTP/1.1", "GET / HTTP/1.1 ", "GET\t/\tHTTP/1.1",
		"GET /", "GET", "GET ", "/ HTTP/1.1", "GET HTTP/1.1", "GET / HTTP/1.2", "GET / HTTP/2.0", "GET / HTTP/0.9", "GET / HTTP/1", "GET / HTTP/1.",
		"GET / HTTP/1.10", "GET / HTTP/01.1", "GET / http/1.1", "GET / HTTP 1.1", "GET / HTTPS/1.1", "GET / FOO/1.1", "GET / HTTP/-1.1", "GET / HTTP/1.1\x00",
		"get / HTTP/1.1", "Get / HTTP/1.1", "G\x00T / HTTP/1.1", "G(T / HTTP/1.1", "G:T / HTTP/1.1", "PÖST / HTTP/1.1", "BREW / HTTP/1.1",
		"OPTIONS * HTTP/1.1", "GET * HTTP/1.1", "OPTIONS / HTTP/1.1", "CONNECT x:443 HTTP/1.1", "CONNECT / HTTP/1.1", "TRACE / HTTP/1.1", "DELETE /d HTTP/1.1", "PATCH /d HTTP/1.1",
		"GET http://other/abs?q HTTP/1.1", "GET http://other HTTP/1.1", "GET https://user:pw@other:8/x HTTP/1.1", "GET http:// HTTP/1.1", "GET http:///x HTTP/1.1",
		"GET ftp://other/x HTTP/1.1", "GET http://[::1]:80/x HTTP/1.1", "GET http://[::1/x HTTP/1.1", "GET http://a b/x HTTP/1.1", "GET //other/x HTTP/1.1", "GET :80/x HTTP/1.1",
		"GET x HTTP/1.1", "GET ?x HTTP/1.1", "GET #x HTTP/1.1", "GET /x#y HTTP/1.1", "GET /%zz HTTP/1.1", "GET /%00 HTTP/1.1", "GET /\x00 HTTP/1.1", "GET /%2e%2e/x HTTP/1.1",
		"GET /../../x HTTP/1.1", "GET /a/./b//c HTTP/1.1", "GET /a b HTTP/1.1", "GET /ünïcode HTTP/1.1", "GET /\xff\xfe HTTP/1.1", "GET /a\tb HTTP/1.1", "GET /a\rb HTTP/1.1",
		"GET /a\\b HTTP/1.1", "GET /<>\" HTTP/1.1", "GET /?a=1&a=2&b HTTP/1.1", "GET /?%zz=%1 HTTP/1.1", "GET /\x7f HTTP/1.1", "GET /\x1b[31m HTTP/1.1",
	} {
		request(fmt.Sprintf("line %q", line), line+"\r\nHost: x", "")
	}
}

func addHeaders(request func(name, head, body string)) {
	for _, h := range []string{
		"", "Host: x\r\nHost: y", "Host:", "Host: ", "Host:x", "Host:  x  ", "Host:\tx\t", "Host : x", " Host: x", "Host: x\r\n folded", "Host: x\r\n\tfolded",
		"Host: a b", "Host: a/b", "Host: user@x", "Host: [::1]:8", "Host: [::1", "Host: x:port", "Host: x:99999", "Host: \x00", "Host: ünï", "Host: x,y", "Host: %41", "hOST: x",
		"Host: x\r\nA", "Host: x\r\nA:", "Host: x\r\n: v", "Host: x\r\n:", "Host: x\r\nA b: v", "Host: x\r\nA\tb: v", "Host: x\r\nA\x00: v", "Host: x\r\nA: \x00", "Host: x\r\nA: \x01",
		"Host: x\r\nA: \x7f", "Host: x\r\nÄ: v", "Host: x\r\nA: ü", "Host: x\r\nA: v\rw", "Host: x\r\nA: v\r", "Host: x\r\nA: v\nB: w", "Host: x\r\nA(b): v", "Host: x\r\n\"A\": v", "Host: x\r\n\r",
		"Host: x\r\nA: 1\r\nA: 2\r\na: 3", "Host: x\r\nfoo-bar-BAZ: v\r\nX_y: z", "Host: x\r\nCookie: a=b; c=d\r\nCookie: e", "Host: x\r\nCookie: ;;=;", "Host: x\r\nUser-Agent: u\r\nUser-Agent: w",
		"Host: x\r\nContent-Type: text/plain", "Host: x\r\nContent-Type:", "Host: x\r\nAccept-Encoding: gzip, br", "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade",
		"Host: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "Host: x\r\nTE: trailers", "Host: x\r\nTrailer: Content-Length", "Host: x\r\nTrailer: X, Y",
		"Host: x\r\nRange: bytes=0-1", "Host: x\r\nX-Forwarded-For: 1.2.3.4", "Host: x\r\nContent-Encoding: gzip", "Host: x\r\n" + strings.Repeat("A: b\r\n", 200) + "C: d",
	} {
		head := "GET / HTTP/1.1"
		if h != "" {
			head += "\r\n" + h
		}
		name := h
		if len(name) > 80 {
			name = name[:80] + "..."
		}
		request(fmt.Sprintf("header %q", name), head, "")
	}
}

func addBodies(request func(name, head, body string), add func(name, data string)) {
	for _, v := range []string{
		"0", "5", "05", "+5", "-5", "5 ", " 5", "5,5", "5, 6", "5\t", "0x5", "5.0", "5e0", "", "five", "-0", "+0", "٥", "5\x00", "1_0", "5;",
		"18446744073709551616", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "99999999999999999999999999", "4194305", "00000000000000000000005",
	} {
		for _, method := range []string{"POST", "GET"} {
			request(fmt.Sprintf("%s of length %q", method, v), method+" /p HTTP/1.1\r\nHost: x\r\nContent-Length: "+v, "hello")
		}
	}
	request("no length", "POST /p HTTP/1.1\r\nHost: x", "")
	request("no length, HTTP/1.0", "POST /p HTTP/1.0\r\nHost: x", "hello")
	request("length, HTTP/1.0", "POST /p HTTP/1.0\r\nHost: x\r\nContent-Length: 5\r\nConnection: keep-alive", "hello")
	request("head with body", "HEAD /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5", "hello")
	request("form", "POST /p HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7", "a=b&c=d")
	form := "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"n\"\r\nContent-Type: text/plain\r\n\r\ncontent\r\n--b--\r\n"
	for name, body := range map[string]string{"whole": form, "without its end": form[:len(form)-8], "empty": "--b--\r\n", "nonsense": "nonsense"} {
		request("multipart "+name, fmt.Sprintf("POST /p HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d", len(body)), body)
	}
	request("multipart without boundary", "POST /p HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data\r\nContent-Length: 5", "hello")
	request("body of zeros", "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 3", "\x00\x00\x00")
	request("body like a request", fmt.Sprintf("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: %d", len(get)), get)
	add("body too long", "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nhello"+last)
}

func addChunks(request func(name, head, body string)) {
	for _, body := range []string{
		"0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0;c\r\n\r\n", "5 ;a\r\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "5\t\r\nhello\r\n0\r\n\r\n", " 5\r\nhello\r\n0\r\n\r\n",
		"05\r\nhello\r\n0\r\n\r\n", "5\nhello\n0\n\n", "5\r\nhello0\r\n\r\n", "5\r\nhello\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhell\r\n0\r\n\r\n", "6\r\nhello\r\n0\r\n\r\n", "4\r\nhello\r\n0\r\n\r\n",
		"-5\r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "g\r\nhello\r\n0\r\n\r\n", "\r\nhello\r\n0\r\n\r\n", "a\r\n0123456789\r\n0\r\n\r\n", "A\r\n0123456789\r\n0\r\n\r\n",
		"ffffffffffffffff\r\nhello\r\n0\r\n\r\n", "10000000000000005\r\nhello\r\n0\r\n\r\n", "7fffffffffffffff\r\nhello\r\n0\r\n\r\n", "8000000000000000\r\nhello\r\n0\r\n\r\n", "000000000000000000000005\r\nhello\r\n0\r\n\r\n",
		"5\x00\r\nhello\r\n0\r\n\r\n", "5;\x00\r\nhello\r\n0\r\n\r\n", "5;a=\"b\r\n\"\r\nhello\r\n0\r\n\r\n", "5;" + strings.Repeat("x", 5000) + "\r\nhello\r\n0\r\n\r\n", "5\rhello\r\n0\r\n\r\n", "5\r\r\nhello\r\n0\r\n\r\n",
		"0\r\nT: v\r\n\r\n", "0\r\nT: v\r\nT: w\r\nU:x\r\n\r\n", "0\r\nContent-Length: 5\r\n\r\n", "0\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\nHost: y\r\n\r\n", "0\r\nT : v\r\n\r\n", "0\r\nT\r\n\r\n", "0\r\n: v\r\n\r\n", "0\r\n T: v\r\n\r\n",
		"0\r\nT: v\n\n", "0\r\nT: \x00\r\n\r\n", "0\n\r\n", "0\r\n\n", "00\r\n\r\n", "0\r\n", "0", "0\r\nT: " + strings.Repeat("v", 5000) + "\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n0\r\n\r\n",
		strings.Repeat("1\r\na\r\n", 300) + "0\r\n\r\n",
	} {
		name := body
		if len(name) > 60 {
			name = name[:60] + "..."
		}
		request(fmt.Sprintf("chunks %q", name), "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked", body)
	}
	request("declared trailer", "POST /c HTTP/1.1\r\nHost: x\r\nTrailer: T\r\nTransfer-Encoding: chunked", "5\r\nhello\r\n0\r\nT: v\r\n\r\n")
	request("forbidden trailer", "POST /c HTTP/1.1\r\nHost: x\r\nTrailer: Content-Length\r\nTransfer-Encoding: chunked", "5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n")
	request("trailer without chunks", "POST /c HTTP/1.1\r\nHost: x\r\nTrailer: T\r\nContent-Length: 5", "hello")
}

func addSmuggling(request func(name, head, body string)) {
	const body = "5\r\nhello\r\n0\r\n\r\n"
	for _, te := range []string{
		"Transfer-Encoding: chunked\r\nContent-Length: 5", "Content-Length: 5\r\nTransfer-Encoding: chunked", "Content-Length: 15\r\nTransfer-Encoding: chunked",
		"Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 0\r\nContent-Length: 5", "Content-Length: 5\r\n 6",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
		"Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: gzip", "Transfer-Encoding: chunked, chunked",
		"Transfer-Encoding: identity", "Transfer-Encoding: identity\r\nContent-Length: 5", "Transfer-Encoding:", "Transfer-Encoding: ", "Transfer-Encoding: ,chunked", "Transfer-Encoding: chunked,",
		"Transfer-Encoding: Chunked", "Transfer-Encoding: CHUNKED", "Transfer-Encoding: xchunked", "Transfer-Encoding: chunkedx", "Transfer-Encoding: \"chunked\"", "Transfer-Encoding: chunked;q=1",
		"Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked", " Transfer-Encoding: chunked", "Transfer-Encoding:\tchunked", "Transfer-Encoding: \x0bchunked", "Transfer-Encoding: chunked\x00",
		"Transfer-Encoding:\r\n chunked", "Transfer-Encoding: chun\r\n ked", "Transfer-Encoding\r\n: chunked", "X: y\r\n Transfer-Encoding: chunked", "X: y\nTransfer-Encoding: chunked", "X: y\rTransfer-Encoding: chunked",
		"Transfer_Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length : 5", "Content-Length: 5\r\nContent-Length: abc", "Content-Length: abc\r\nTransfer-Encoding: chunked", "Content-Length\x00: 5",
		"Content_Length: 5", "content-length: 5", "CONTENT-LENGTH: 5", "Content-Length:\r\n 5", "\"Content-Length\": 5", "Content-Length: 5\r\ncontent-length: 7", "Transfer-Encoding: chunked\nContent-Length: 5",
	} {
		request(fmt.Sprintf("smuggling %q", te), "POST /c HTTP/1.1\r\nHost: x\r\n"+te, body)
	}
	request("chunked, HTTP/1.0", "POST /c HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive", body)
	request("chunked get", "GET /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked", body)
	request("chunked head", "HEAD /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked", body)
	request("smuggled request in a get's body", fmt.Sprintf("GET /c HTTP/1.1\r\nHost: x\r\nContent-Length: %d", len(get)), get)
}

func addExpectations(request func(name, head, body string), add func(name, data string)) {
	add("expect, body never", expects)
	add("expect, half a body", expects+"he")
	add("expect, body at once", expects+"hello"+last)
	all := expects + "hello"
	add("expect twice", all+all+last)
	request("expect of chunks", "POST /e HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue", "5\r\nhello\r\n0\r\n\r\n")
	request("expect of nothing", "POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nExpect: 100-continue", "")
	request("expect without length", "POST /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue", "")
	request("expect of get", "GET /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue", "")
	request("expect, HTTP/1.0", "POST /e HTTP/1.0\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue", "hello")
	request("expect in capitals", "POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-CONTINUE", "hello")
	request("expect of something else", "POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 200-ok", "hello")
	request("expect too much", "POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 4194305\r\nExpect: 100-continue", "")
	request("expect denied", "POST /denied HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue", "hello")
}

func addConnections(request func(name, head, body string), add func(name, data string)) {
	for _, version := range []string{"1.0", "1.1"} {
		for _, c := range []string{"", "close", "Close", "keep-alive", "Keep-Alive", "close, keep-alive", "keep-alive, close", "upgrade", "x, close", "closed", " close ", "te"} {
			head := "GET / HTTP/" + version + "\r\nHost: x"
			if c != "" {
				head += "\r\nConnection: " + c
			}
			request(fmt.Sprintf("HTTP/%s connection %q", version, c), head, "")
		}
		request("proxy connection HTTP/"+version, "GET / HTTP/"+version+"\r\nHost: x\r\nProxy-Connection: keep-alive", "")
		request("two connections HTTP/"+version, "GET / HTTP/"+version+"\r\nHost: x\r\nConnection: keep-alive\r\nConnection: close", "")
		request("handler closes HTTP/"+version, "GET /close HTTP/"+version+"\r\nHost: x\r\nConnection: keep-alive", "")
	}
	add("hijack, HTTP/1.0", "GET /hijack HTTP/1.0\r\n\r\nleft over")
	add("hijack behind others", get+post+"GET /hijack HTTP/1.1\r\nHost: x\r\n\r\n"+get)
	add("hijack with much left over", "GET /hijack HTTP/1.1\r\nHost: x\r\n\r\n"+strings.Repeat("0123456789abcdef", 4096))
	add("silent hijack", get+"GET /hijack?silent HTTP/1.1\r\nHost: x\r\n\r\nleft over")
}

func addPipelines(add func(name, data string)) {
	for n := 2; n <= 32; n += 3 {
		add(fmt.Sprintf("%d gets", n), strings.Repeat(get, n))
		add(fmt.Sprintf("%d gets and one that closes", n), strings.Repeat(get, n)+last+get)
		add(fmt.Sprintf("%d gets and a malformed one", n), strings.Repeat(get, n)+bad+get)
		add(fmt.Sprintf("%d of each", n), strings.Repeat(get+post+headOnly+chunked, n))
		add(fmt.Sprintf("%d gets and half a one", n), strings.Repeat(get, n)+get[:12])
	}
	add("posts of growing size", func() string {
		var b strings.Builder
		for n := 0; n < 12000; n += 997 {
			fmt.Fprintf(&b, "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", n, strings.Repeat("p", n))
		}
		return b.String()
	}())
	add("big responses pipelined", strings.Repeat("GET /big HTTP/1.1\r\nHost: x\r\n\r\n", 8)+last)
	add("streams pipelined", strings.Repeat("GET /stream HTTP/1.1\r\nHost: x\r\n\r\nGET /sized HTTP/1.1\r\nHost: x\r\n\r\n", 8)+last)
	add("304 and 204 between", "GET /304 HTTP/1.1\r\nHost: x\r\n\r\n"+get+"GET /204 HTTP/1.1\r\nHost: x\r\n\r\nHEAD /big HTTP/1.1\r\nHost: x\r\n\r\n"+last)
	add("across the read buffer", strings.Repeat("GET /"+strings.Repeat("l", 900)+" HTTP/1.1\r\nHost: x\r\n\r\n", 9))
}

func addSizes(request func(name, head, body string), add func(name, data string)) {
	for _, n := range []int{1000, 4000, 4060, 4070, 4080, 4090, 4095, 4096, 4097, 5000, 8192, 20000, 70000} {
		request(fmt.Sprintf("URI of %d", n), "GET /"+strings.Repeat("u", n)+" HTTP/1.1\r\nHost: x", "")
		request(fmt.Sprintf("header of %d", n), "GET / HTTP/1.1\r\nHost: x\r\nA: "+strings.Repeat("h", n), "")
		request(fmt.Sprintf("body of %d", n), fmt.Sprintf("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: %d", n), strings.Repeat("b", n))
		request(fmt.Sprintf("chunk of %d", n), "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", n, strings.Repeat("c", n)))
	}
	request("body at the limit", fmt.Sprintf("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: %d", bodyLimit), strings.Repeat("b", bodyLimit))
	request("body over the limit", fmt.Sprintf("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: %d", bodyLimit+1), strings.Repeat("b", bodyLimit+1))
	request("chunks over the limit", "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked",
		strings.Repeat(fmt.Sprintf("%x\r\n%s\r\n", bodyLimit/4, strings.Repeat("c", bodyLimit/4)), 5)+"0\r\n\r\n")
	add("header without end", "GET / HTTP/1.1\r\nHost: x\r\nA: "+strings.Repeat("h", 9000))
	add("line without end", "GET /"+strings.Repeat("u", 9000))
	add("method without end", strings.Repeat("M", 9000))
	add("headers without end", "GET / HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("A: b\r\n", 3000))
}

func addResponses(request func(name, head, body string)) {
	for _, path := range []string{"/304", "/204", "/100", "/big", "/stream", "/sized", "/short", "/nothing", "/error", "/timeout", "/redirect", "/nil", "/unread", "/part"} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			body, length := "", ""
			if method == "POST" {
				body, length = "hello", "\r\nContent-Length: 5"
			}
			request(method+" "+path, method+" "+path+" HTTP/1.1\r\nHost: x"+length, body)
			request(method+" "+path+", HTTP/1.0", method+" "+path+" HTTP/1.0\r\nHost: x\r\nConnection: keep-alive"+length, body)
		}
	}
}

func addTruncated(add func(name, data string)) {
	for _, s := range []struct{ name, data string }{{"get", get}, {"post", post}, {"chunked", chunked}} {
		for _, n := range []int{1, 3, 4, 9, len(s.data) / 3, len(s.data) / 2, len(s.data) - 5, len(s.data) - 3, len(s.data) - 2, len(s.data) - 1} {
			add(fmt.Sprintf("%s, first %d", s.name, n), s.data[:n])
			add(fmt.Sprintf("get and %s, first %d", s.name, n), get+s.data[:n])
		}
	}
}
