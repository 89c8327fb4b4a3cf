package static

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"
)

//go:embed listpage.html
var listTemplate string

var listPage = template.Must(template.New("list").Parse(listTemplate))

// listed is what the page shows.
type listed struct {
	Path    string
	Crumbs  []crumb
	Root    bool
	Columns []column
	Entries []row
	Folders int
	Files   int
	Size    string
	More    int
}

type crumb struct{ Name, Href string }

// column is the head of a column: a link that orders by it, and the other way if it does
// already.
type column struct{ Class, Title, Href, Sorted string }

type row struct {
	Name, Href, Size, Bytes, Time, Stamp string
	Folder                               bool
}

func listHTML(path string, list []entry, more bool, o order) []byte {
	p := listed{Path: path, Root: path == "/", Crumbs: crumbs(path)}
	for _, c := range [][3]string{{"name", "name", "Name"}, {"size", "size", "Size"}, {"time", "time", "Modified"}} {
		by, title := c[0], c[2]
		head := column{Class: c[1], Title: title, Href: "?sort=" + by}
		if o.by == by {
			head.Sorted = "ascending"
			if o.desc {
				head.Sorted = "descending"
			} else {
				head.Href += "&order=desc"
			}
		}
		p.Columns = append(p.Columns, head)
	}
	total := int64(0)
	for _, e := range list {
		at := time.Unix(0, e.mtime).UTC()
		r := row{Name: e.name, Href: href(e.name), Folder: e.folder, Time: at.Format("2006-01-02 15:04"), Stamp: at.Format(time.RFC3339)}
		if e.folder {
			r.Name, r.Href = r.Name+"/", r.Href+"/"
			p.Folders++
		} else {
			r.Size, r.Bytes = humanSize(e.size), strconv.FormatInt(e.size, 10)
			p.Files++
			total += e.size
		}
		p.Entries = append(p.Entries, r)
	}
	p.Size = humanSize(total)
	if more {
		p.More = mostListed
	}
	var b bytes.Buffer
	if err := listPage.Execute(&b, p); err != nil {
		return Page(500) // the template is in the program, and b takes everything
	}
	return b.Bytes()
}

// href is a link to name in the folder itself; the dot in front keeps a colon in it from
// being taken for a scheme.
func href(name string) string { return "./" + strings.ReplaceAll(url.PathEscape(name), "+", "%2B") }

// crumbs are links to the folders above path.
func crumbs(path string) (list []crumb) {
	parts := strings.Split(strings.TrimSuffix(path, "/"), "/")
	for i, name := range parts {
		up := "./" + strings.Repeat("../", len(parts)-1-i)
		list = append(list, crumb{name + "/", up})
	}
	return list
}

// humanSize is n in the unit that is read best.
func humanSize(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, unit := float64(n)/1024, 0
	for f >= 1023.95 && unit < len(sizeUnits)-1 {
		f, unit = f/1024, unit+1
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + " " + string(sizeUnits[unit]) + "iB"
}

const sizeUnits = "KMGTPE"

func listJSON(path string, list []entry, more bool) []byte {
	type item struct {
		Name     string    `json:"name"`
		Type     string    `json:"type"`
		Size     *int64    `json:"size,omitempty"`
		Modified time.Time `json:"modified"`
	}
	answer := struct {
		Path      string `json:"path"`
		Entries   []item `json:"entries"`
		Truncated bool   `json:"truncated,omitempty"`
	}{path, []item{}, more}
	for _, e := range list {
		i := item{e.name, "directory", nil, time.Unix(0, e.mtime).UTC()}
		if !e.folder {
			i.Type, i.Size = "file", &e.size
		}
		answer.Entries = append(answer.Entries, i)
	}
	b, err := json.Marshal(answer)
	if err != nil { // of a time beyond the year 9999
		return []byte("null")
	}
	return append(b, '\n')
}
