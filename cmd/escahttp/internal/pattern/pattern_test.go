package pattern

import "testing"

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, path string
		want          bool
	}{
		{"*.css", "/a.css", true}, {"*.css", "/b/c/a.css", true}, {"*.css", "/a.css/b", false}, {"*.css", "/a.csss", false},
		{"/assets/**", "/assets/a/b", true}, {"/assets/**", "/assets/", true}, {"/assets/**", "/assets", false}, {"/assets/**", "/x/assets/a", false},
		{"/img/*.png", "/img/a.png", true}, {"/img/*.png", "/img/b/a.png", false}, {"/img/**.png", "/img/b/a.png", true},
		{"/robots.txt", "/robots.txt", true}, {"/robots.txt", "/a/robots.txt", false}, {"robots.txt", "/a/robots.txt", true},
		{"**", "/", true}, {"*", "/a/b", true}, {"/*", "/a", true}, {"/*", "/a/b", false}, {"a/*.js", "/a/b.js", true},
		{"?.txt", "/a.txt", true}, {"?.txt", "/ab.txt", false}, {"a+(b).txt", "/a+(b).txt", true}, {"*.*.js", "/a.b.js", true},
		{"/a?", "/a\n", true},
		{"@hashed", "/app.3f8a91c2.js", true}, {"@hashed", "/assets/index-BxY3k_2d.css", true}, {"@hashed", "/a-0123abcd.js.map", true},
		{"@hashed", "/report-20240101.pdf", false}, {"@hashed", "/jquery-validate.js", false}, {"@hashed", "/3f8a91c2.js", false},
		{"@hashed", "/IMG-Photograph.jpg", false}, {"@hashed", "/app.js", false}, {"@hashed", "/photo-holiday2024.jpg", false}, {"@hashed", "/noext-3f8a91c2", false},
	} {
		p, err := Parse(tt.pattern)
		if err != nil || p.Match([]byte(tt.path)) != tt.want {
			t.Errorf("%s, %s: not %v (%v)", tt.pattern, tt.path, tt.want, err)
		}
	}
	for _, text := range []string{"", "@nope", "a\xbb*"} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%q is a pattern", text)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("**/*.js", "/a/b.js")
	f.Add("a?[b]*", "/a")
	f.Fuzz(func(t *testing.T, text, path string) {
		if p, err := Parse(text); err == nil {
			p.Match([]byte(path))
		}
	})
}
