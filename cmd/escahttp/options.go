package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/escahttp/esca/cmd/escahttp/internal/errlog"
	"github.com/escahttp/esca/poller"
)

// options are the flags, which the environment may set as ESCAHTTP_NAME.
type options struct {
	Serve    serveCmd    `cmd:"" default:"withargs" help:"Serve the files beneath ROOT, or a welcome site (the default command)."`
	Check    checkCmd    `cmd:"" help:"Check a configuration, flags and files, without serving."`
	Backends backendsCmd `cmd:"" help:"Say which backends work here, and why others do not."`

	Completion completionCmd `cmd:"" help:"Print completions for a shell, such as for eval."`
	Man        manCmd        `cmd:"" help:"Print the man page."`

	Version kong.VersionFlag `help:"Print the version."`
}

type backendsCmd struct{}

// checkCmd is serveCmd, up to where it would listen.
type checkCmd struct {
	serveCmd `embed:""`
}

type serveCmd struct {
	Root string `arg:"" optional:"" help:"The directory to serve. Without it, a welcome site."`

	Config        string       `env:"ESCAHTTP_CONFIG" placeholder:"FILE" help:"Take flags from FILE, in TOML: a key for each, by its name, and root. Those given otherwise come first. It is read again when it changes, and on SIGHUP."`
	Addr          string       `default:":8080" env:"ESCAHTTP_ADDR" help:"Listen on HOST:PORT, unix:PATH, or systemd[:NAME], the sockets that systemd has opened. With http:// in front it is plain where there is a certificate, too."`
	Listen        lines        `env:"ESCAHTTP_LISTEN" placeholder:"ADDR" help:"Listen on this address as well; may be repeated."`
	HTTP3         bool         `name:"http3" env:"ESCAHTTP_HTTP3" help:"Speak HTTP/3 as well, on the UDP port of the same number, wherever TLS is spoken on a port, and tell clients so (Alt-Svc)."`
	SocketMode    mode         `name:"socket-mode" env:"ESCAHTTP_SOCKET_MODE" placeholder:"MODE" help:"Rights of the unix socket, in octal, such as 0660. Default: as the umask has it."`
	Backend       string       `default:"auto" env:"ESCAHTTP_BACKEND" help:"How system calls are executed: auto, or one that \"escahttp backends\" lists."`
	Loops         int          `default:"0" env:"ESCAHTTP_LOOPS" help:"Event loops; 0: one for each processor."`
	TLSCert       string       `name:"tls-cert" env:"ESCAHTTP_TLS_CERT" placeholder:"FILE" help:"Serve TLS with this certificate file (PEM). It is read again when it changes, and on SIGHUP."`
	TLSKey        string       `name:"tls-key" env:"ESCAHTTP_TLS_KEY" placeholder:"FILE" help:"The certificate's key file (PEM)."`
	Host          lines        `env:"ESCAHTTP_HOST" placeholder:"RULE" help:"NAMES ROOT [CERT KEY]: serve ROOT to clients that ask for a host of one of NAMES, such as 'example.org,*.example.org /srv/example', with a certificate of its own where one is given. May be repeated; ROOT of the command line is for all others."`
	ACME          string       `name:"acme" env:"ESCAHTTP_ACME" placeholder:"NAMES" help:"Have certificates made for these hosts, separated by commas, by an authority that speaks ACME (HTTP-01 or TLS-ALPN-01), whose terms you agree to by that."`
	ACMEDir       string       `name:"acme-dir" env:"ESCAHTTP_ACME_DIR" placeholder:"DIR" help:"Where they are kept. Default: acme in $STATE_DIRECTORY, or escahttp/acme in $XDG_STATE_HOME or ~/.local/state."`
	ACMEEmail     string       `name:"acme-email" env:"ESCAHTTP_ACME_EMAIL" placeholder:"ADDRESS" help:"Where the authority may write to."`
	ACMEServer    string       `name:"acme-server" default:"https://acme-v02.api.letsencrypt.org/directory" env:"ESCAHTTP_ACME_SERVER" placeholder:"URL" help:"The authority's directory. Default: Let's Encrypt."`
	ACMEServerCA  string       `name:"acme-server-ca" env:"ESCAHTTP_ACME_SERVER_CA" placeholder:"FILE" help:"What has signed the authority's own certificate (PEM), where the system does not trust it."`
	HTTPSRedirect bool         `name:"https-redirect" env:"ESCAHTTP_HTTPS_REDIRECT" help:"Send clients that come without TLS to https://, but for /.well-known/acme-challenge/."`
	HTTPSPort     int          `name:"https-port" default:"443" env:"ESCAHTTP_HTTPS_PORT" help:"The port that they are sent to."`
	Log           string       `name:"access-log" env:"ESCAHTTP_ACCESS_LOG" placeholder:"FILE" help:"Write an access log to FILE, - for standard output. SIGHUP reopens it."`
	Format        string       `name:"access-log-format" default:"common" enum:"common,combined,json,terminal" env:"ESCAHTTP_ACCESS_LOG_FORMAT" help:"Its format: common, combined, json, or terminal, for people: in colour on a terminal, unless NO_COLOR is set."`
	Open          bool         `env:"ESCAHTTP_OPEN" help:"Show the address for other devices in the network, as a QR code too, and on a terminal the requests."`
	LogLevel      errlog.Level `name:"log-level" default:"info" env:"ESCAHTTP_LOG_LEVEL" placeholder:"LEVEL" help:"What is said on standard error: error, warning or info."`
	Admin         string       `name:"admin-addr" env:"ESCAHTTP_ADMIN_ADDR" placeholder:"ADDR" help:"Answer /healthz, /readyz and /metrics (Prometheus) on this address."`
	User          string       `env:"ESCAHTTP_USER" placeholder:"NAME" help:"Go on as this user when all addresses and files are open: for escahttp that is started as root."`
	Sandbox       string       `default:"off" enum:"off,auto,required" env:"ESCAHTTP_SANDBOX" help:"Give away what serving does not need: all files but ROOT, logs and certificates (Landlock), new privileges, and calls that a file server has no use for (seccomp). auto: what can be had here; required: all of it, or not to start."`
	CacheMiB      int64        `name:"cache-size" default:"64" env:"ESCAHTTP_CACHE_SIZE" placeholder:"MIB" help:"Memory for files of up to 8 MiB, in MiB."`
	ETag          string       `name:"etag" default:"auto" enum:"auto,content,mtime,off" env:"ESCAHTTP_ETAG" help:"Entity tags: by content, by mtime and size, off, or auto: by content up to 1 MiB, by mtime above. FILE.etag comes first."`

	Index       string `default:"index.html" env:"ESCAHTTP_INDEX" placeholder:"NAMES" help:"Names of files that stand for their folder, as preferred, separated by commas. Default: ${default}."`
	List        bool   `env:"ESCAHTTP_LIST" help:"List folders that have no index, as a page or as JSON (?format=json, or Accept)."`
	Archive     bool   `env:"ESCAHTTP_ARCHIVE" help:"Send folders that have no index as one file, by ?format=zip or ?format=tar.zst."`
	ArchiveMiB  int64  `name:"archive-size" default:"1024" env:"ESCAHTTP_ARCHIVE_SIZE" placeholder:"MIB" help:"What the files in one may be of together, in MiB. Default: ${default}."`
	Markdown    bool   `env:"ESCAHTTP_MARKDOWN" help:"Show Markdown as a page to clients that ask for HTML, as browsers do, or by ?format=html; ?format=source is the file."`
	Dotfiles    bool   `env:"ESCAHTTP_DOTFILES" help:"Serve what has a dot in front of its name. Without it only what is beneath /.well-known/ is."`
	CleanURLs   bool   `name:"clean-urls" env:"ESCAHTTP_CLEAN_URLS" help:"Serve FILE.html at the address without .html too."`
	SPA         string `name:"spa" env:"ESCAHTTP_SPA" placeholder:"PATH" help:"Serve the page at PATH, such as /index.html, for addresses at which there is nothing: for single-page applications."`
	ErrorPage   lines  `name:"error-page" env:"ESCAHTTP_ERROR_PAGE" placeholder:"RULE" help:"[PATTERN] STATUS PAGE: answer errors with a page, such as '404 /404.html'; without a slash in front the page is looked for in the folder of the address and those above. May be repeated."`
	Maintenance string `env:"ESCAHTTP_MAINTENANCE" placeholder:"FILE" help:"While FILE exists, everything is answered with 503."`
	Redirect    lines  `env:"ESCAHTTP_REDIRECT" placeholder:"RULE" help:"FROM TO [STATUS]: send clients from the path FROM, which may be a pattern (its stars are $1, $2, ...) or ~REGEXP, to TO. Default status 301. May be repeated."`
	Rewrite     lines  `env:"ESCAHTTP_REWRITE" placeholder:"RULE" help:"FROM TO: serve what is at TO for the path FROM, as for --redirect. May be repeated."`
	Types       lines  `name:"mime-type" env:"ESCAHTTP_MIME_TYPE" placeholder:"RULE" help:".EXT TYPE: the media type of files, such as '.foo text/plain'. May be repeated."`

	Precompressed bool    `default:"true" negatable:"" env:"ESCAHTTP_PRECOMPRESSED" help:"Send FILE.br, FILE.zst or FILE.gz in the place of FILE, unless it is older, to clients that accept that."`
	Compress      codings `default:"br,zstd,gzip" env:"ESCAHTTP_COMPRESS" placeholder:"CODINGS" help:"Codings that files of compressible types are sent in, made once and kept in the cache: some of br, zstd, gzip as preferred, or off. Default: ${default}."`

	TrustedProxies string `name:"trusted-proxies" env:"ESCAHTTP_TRUSTED_PROXIES" placeholder:"NETWORKS" help:"Networks and addresses of proxies that are believed when they say who the client is, separated by commas; private: those that are not routed."`
	RealIP         string `name:"real-ip" default:"x-forwarded-for" enum:"x-forwarded-for,forwarded,off" env:"ESCAHTTP_REAL_IP" help:"The field in which trusted proxies say so: x-forwarded-for (and x-forwarded-proto), forwarded, or off."`
	ProxyProtocol  bool   `name:"proxy-protocol" env:"ESCAHTTP_PROXY_PROTOCOL" help:"All connections come from trusted proxies, and begin with a PROXY header (version 1 or 2)."`
	Allow          lines  `env:"ESCAHTTP_ALLOW" placeholder:"RULE" help:"[PATTERN] NETWORKS: only clients from there may have what is at PATTERN (default all); may be repeated."`
	Deny           lines  `env:"ESCAHTTP_DENY" placeholder:"RULE" help:"[PATTERN] NETWORKS: clients from there may not; may be repeated."`

	BasicAuth lines `name:"basic-auth" env:"ESCAHTTP_BASIC_AUTH" placeholder:"RULE" help:"[PATTERN] FILE: what is at PATTERN (default all) only with a name and password of the htpasswd FILE (bcrypt: htpasswd -B), which is read again when it changes. May be repeated."`
	RateLimit lines `name:"rate-limit" env:"ESCAHTTP_RATE_LIMIT" placeholder:"RULE" help:"[PATTERN] NUMBER/UNIT [BURST]: how many requests a client may make in a second (s), minute (m) or hour (h), such as 20/s; above that the answer is 429. May be repeated."`

	CacheControl lines  `name:"cache-control" env:"ESCAHTTP_CACHE_CONTROL" placeholder:"RULE" help:"PATTERN VALUE: the Cache-Control of files, such as '*.html no-cache' or '@hashed immutable' (names with a hash, kept for a year). The first that is for a file counts; may be repeated."`
	Header       lines  `env:"ESCAHTTP_HEADER" placeholder:"RULE" help:"PATTERN NAME: VALUE sets a header field of answers, PATTERN -NAME removes one; may be repeated."`
	CORS         lines  `name:"cors" env:"ESCAHTTP_CORS" placeholder:"ORIGIN" help:"Let pages of this origin read the files: https://example.org, https://*.example.org, or *; may be repeated."`
	Security     bool   `name:"security-headers" env:"ESCAHTTP_SECURITY_HEADERS" help:"Send nosniff, a frame and referrer policy, a permissions policy, a careful CSP, and over TLS HSTS."`
	ServerHeader string `name:"server-header" default:"esca" env:"ESCAHTTP_SERVER_HEADER" help:"What the Server field says, or off."`

	Revalidate      time.Duration `default:"1s" env:"ESCAHTTP_REVALIDATE" help:"How long a name is taken to lead to the same file before it is looked at again."`
	ReadTimeout     time.Duration `default:"30s" env:"ESCAHTTP_READ_TIMEOUT" help:"Time for a request to arrive; 0: no limit."`
	WriteTimeout    time.Duration `default:"60s" env:"ESCAHTTP_WRITE_TIMEOUT" help:"How long a client may take nothing of an answer before it is cut off; 0: no limit."`
	IdleTimeout     time.Duration `default:"75s" env:"ESCAHTTP_IDLE_TIMEOUT" help:"How long a connection may be idle between requests; 0: as --read-timeout."`
	ShutdownTimeout time.Duration `default:"20s" env:"ESCAHTTP_SHUTDOWN_TIMEOUT" help:"How long requests may take to finish when the server is asked to stop; 0: no limit."`
	StopDelay       time.Duration `default:"0s" env:"ESCAHTTP_STOP_DELAY" help:"How long to go on serving when asked to stop, while /readyz says no: for balancers to notice."`
	PerIP           int           `name:"max-conns-per-ip" default:"0" env:"ESCAHTTP_MAX_CONNS_PER_IP" help:"Connections that one address may have; 0: no limit."`

	dry  bool     // nothing is made on disk: it is only checked
	args []string // that it was read from
	text []byte   // of the configuration file
}

// mostCacheMiB is more than any machine has.
const mostCacheMiB = 1 << 30

// usageError ends the program with status 2.
type usageError struct{ error }

// parse reads the command line. A nil run means that there is nothing to do.
func parse(args []string) (run func(*errlog.Log) error, err error) {
	o, command, err := parseOptions(args, kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	switch {
	case err != nil:
		return nil, err
	case command == "":
		return nil, nil
	case command == "backends":
		return o.Backends.run, nil
	case strings.HasPrefix(command, "check"):
		return o.Check.run, nil
	case strings.HasPrefix(command, "completion"):
		return o.Completion.run, nil
	case command == "man":
		return o.Man.run, nil
	}
	o.Serve.args = args
	return o.Serve.run, nil
}

// newParser returns what reads a command line into o.
func newParser(o *options, more ...kong.Option) (*kong.Kong, error) {
	k, err := kong.New(o, append(more,
		kong.Name("escahttp"),
		kong.Description("A static file server on the esca network runtime. \"escahttp DIR\" serves what is beneath DIR. Each flag (\"escahttp serve --help\" lists them) can also be set as ESCAHTTP_NAME in the environment, or in a file (--config)."),
		kong.Vars{"version": "escahttp " + version()},
	)...)
	if err == nil {
		group(k.Model)
	}
	return k, err
}

// parseOptions reads the command line, the environment and the configuration file, and
// checks what they say. An empty command means that there is nothing to do.
func parseOptions(args []string, more ...kong.Option) (o *options, command string, err error) {
	file, err := readConfig(args)
	if err != nil {
		return nil, "", usageError{err}
	}
	o = new(options)
	exited := false
	more = append(more, kong.Exit(func(int) { exited = true }))
	if file != nil {
		more = append(more, kong.Resolvers(file))
	}
	k, err := newParser(o, more...)
	if err != nil {
		return nil, "", err
	}
	if file != nil {
		if err := file.Validate(k.Model); err != nil {
			return nil, "", usageError{err}
		}
	}
	ctx, err := k.Parse(args)
	if exited {
		return nil, "", nil
	}
	if err != nil {
		err = plainly(err)
		if there := file.locate(err); there != err {
			return nil, "", usageError{there}
		}
		return nil, "", usageError{withHelp(err, args)}
	}
	command = ctx.Command()
	s := &o.Serve
	switch {
	case command == "backends", command == "man", strings.HasPrefix(command, "completion"):
		return o, command, nil
	case strings.HasPrefix(command, "check"):
		s = &o.Check.serveCmd
	}
	if s.Root == "" && slices.Contains(args, "") {
		return nil, "", usageError{errors.New("an argument is empty: name the directory to serve, or leave it out for the welcome site")}
	}
	if s.Root == "" {
		if s.Root, err = file.root(); err != nil {
			return nil, "", usageError{err}
		}
	}
	if err := s.check(); err != nil {
		return nil, "", usageError{file.locate(err)}
	}
	s.show()
	if file != nil {
		s.text = file.Text()
	}
	return o, command, nil
}

// check looks at what can be seen to be wrong without starting.
func (s *serveCmd) check() error {
	switch {
	case s.Loops < 0:
		return fmt.Errorf("--loops=%d: give a number of loops, or 0 for one per processor", s.Loops)
	case s.CacheMiB < 1 || s.CacheMiB > mostCacheMiB:
		return fmt.Errorf("--cache-size=%d: give a number of MiB from 1 to %d", s.CacheMiB, mostCacheMiB)
	case s.ArchiveMiB < 1 || s.ArchiveMiB > mostCacheMiB:
		return fmt.Errorf("--archive-size=%d: give a number of MiB from 1 to %d", s.ArchiveMiB, mostCacheMiB)
	case s.PerIP < 0:
		return fmt.Errorf("--max-conns-per-ip=%d: give a number of connections, or 0 for no limit", s.PerIP)
	case (s.TLSCert == "") != (s.TLSKey == ""):
		return errors.New("TLS needs both --tls-cert and --tls-key")
	}
	if err := s.checkAddresses(); err != nil {
		return err
	}
	if err := s.checkACME(); err != nil {
		return err
	}
	if err := s.checkHTTP3(); err != nil {
		return err
	}
	if err := s.checkProxies(); err != nil {
		return err
	}
	if err := s.checkSandbox(); err != nil {
		return err
	}
	if err := s.checkTimes(); err != nil {
		return err
	}
	if err := s.checkBackend(); err != nil {
		return err
	}
	if _, err := s.policy(func(string, ...any) {}); err != nil {
		return err
	}
	if _, err := s.hostRules(); err != nil {
		return err
	}
	if s.Root == "" {
		return nil
	}
	err := checkRoot(s.Root)
	if errors.Is(err, os.ErrNotExist) && !strings.ContainsAny(s.Root, "/.") {
		return fmt.Errorf("%w, or a command, which escahttp --help lists", err)
	}
	return err
}

func (s *serveCmd) checkBackend() error {
	names := []string{"auto"}
	for _, p := range poller.Probes() {
		if p.Name == s.Backend {
			if err := p.Err(); err != nil {
				return fmt.Errorf("--backend=%w (auto takes one that works)", err)
			}
			return nil
		}
		names = append(names, p.Name)
	}
	if s.Backend == "auto" || len(names) == 1 { // where there are no loops
		return nil
	}
	return fmt.Errorf("--backend=%s: there is no such backend: give one of %s", s.Backend, strings.Join(names, ", "))
}

// noRoot is the name of a ROOT that is not there.
type noRoot string

func (r noRoot) Error() string {
	return fmt.Sprintf("ROOT %s does not exist: give a directory to serve", string(r))
}

func (noRoot) Unwrap() error { return os.ErrNotExist }

func checkRoot(root string) error {
	fi, err := os.Stat(root)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return noRoot(root)
	case err != nil:
		return fmt.Errorf("ROOT: %w", err)
	case !fi.IsDir():
		return fmt.Errorf("ROOT %s is not a directory: give the directory the file is in", root)
	}
	if _, err := os.Lstat(filepath.Join(root, "index.html")); errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("ROOT %s may not be entered by this user: give it the right to (chmod o+rx), or run escahttp as its owner", root)
	}
	return nil
}

func (s *serveCmd) checkTimes() error {
	for name, d := range map[string]time.Duration{
		"read-timeout": s.ReadTimeout, "write-timeout": s.WriteTimeout, "idle-timeout": s.IdleTimeout, "shutdown-timeout": s.ShutdownTimeout, "stop-delay": s.StopDelay, "revalidate": s.Revalidate,
	} {
		if d < 0 {
			return fmt.Errorf("--%s=%v: give a time that is not negative", name, d)
		}
	}
	return nil
}
