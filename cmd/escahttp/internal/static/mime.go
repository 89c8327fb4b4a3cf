package static

import "strings"

// contentType returns the media type of files with the extension ext, which
// begins with a dot. It is the same on every machine: the system's own tables
// are not asked, of which some take .ts for a translation and .js for an
// application.
func contentType(ext string) string {
	if t, ok := known[strings.ToLower(ext)]; ok {
		return t
	}
	return "application/octet-stream"
}

// types are media types by extension, in lower case and with its dot, that come before
// those that are known.
type types map[string]string

// of is contentType, but for what t says.
func (t types) of(ext string) []byte {
	if is, ok := t[strings.ToLower(ext)]; ok {
		return []byte(is)
	}
	return []byte(contentType(ext))
}

const utf8 = "; charset=utf-8"

// known are what browsers and players expect: the registered types, or where
// those are not understood the customary ones.
var known = map[string]string{
	// Pages and what belongs to them.
	".appcache": "text/cache-manifest" + utf8, ".css": "text/css" + utf8, ".htm": "text/html" + utf8,
	".html": "text/html" + utf8, ".js": "text/javascript" + utf8, ".cjs": "text/javascript" + utf8,
	".mjs": "text/javascript" + utf8, ".jsx": "text/javascript" + utf8, ".json": "application/json", ".json5": "application/json5",
	".jsonld": "application/ld+json", ".map": "application/json", ".mhtml": "multipart/related",
	".shtml": "text/html" + utf8, ".wasm": "application/wasm", ".webmanifest": "application/manifest+json",
	".xht": "application/xhtml+xml", ".xhtml": "application/xhtml+xml",
	// Text.
	".asc": "text/plain" + utf8, ".conf": "text/plain" + utf8, ".csv": "text/csv" + utf8, ".diff": "text/plain" + utf8,
	".ics": "text/calendar" + utf8, ".ini": "text/plain" + utf8, ".log": "text/plain" + utf8,
	".markdown": "text/markdown" + utf8, ".md": "text/markdown" + utf8, ".ndjson": "application/x-ndjson",
	".patch": "text/plain" + utf8, ".srt": "application/x-subrip", ".text": "text/plain" + utf8, ".toml": "application/toml",
	".tsv": "text/tab-separated-values" + utf8, ".txt": "text/plain" + utf8, ".vcf": "text/vcard" + utf8,
	".vtt": "text/vtt" + utf8, ".yaml": "application/yaml", ".yml": "application/yaml",
	// XML.
	".atom": "application/atom+xml", ".dtd": "application/xml-dtd", ".geojson": "application/geo+json",
	".gpx": "application/gpx+xml", ".kml": "application/vnd.google-earth.kml+xml", ".kmz": "application/vnd.google-earth.kmz",
	".mathml": "application/mathml+xml", ".opf": "application/oebps-package+xml", ".rdf": "application/rdf+xml",
	".rss": "application/rss+xml", ".xml": "text/xml" + utf8, ".xsd": "application/xml", ".xsl": "application/xml", ".xslt": "application/xslt+xml",
	// Pictures.
	".apng": "image/apng", ".avif": "image/avif", ".avifs": "image/avif", ".bmp": "image/bmp", ".cur": "image/x-icon",
	".gif": "image/gif", ".heic": "image/heic", ".heif": "image/heif", ".ico": "image/x-icon", ".jfif": "image/jpeg",
	".jpe": "image/jpeg", ".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".jxl": "image/jxl", ".png": "image/png",
	".psd": "image/vnd.adobe.photoshop", ".svg": "image/svg+xml", ".svgz": "image/svg+xml", ".tif": "image/tiff",
	".tiff": "image/tiff", ".webp": "image/webp",
	// Fonts.
	".eot": "application/vnd.ms-fontobject", ".otf": "font/otf", ".ttc": "font/collection", ".ttf": "font/ttf",
	".woff": "font/woff", ".woff2": "font/woff2",
	// Sound.
	".aac": "audio/aac", ".aif": "audio/aiff", ".aiff": "audio/aiff", ".flac": "audio/flac", ".m3u": "audio/mpegurl",
	".m4a": "audio/mp4", ".m4b": "audio/mp4", ".mid": "audio/midi", ".midi": "audio/midi", ".mka": "audio/x-matroska", ".mp3": "audio/mpeg",
	".oga": "audio/ogg", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".spx": "audio/ogg", ".wav": "audio/wav", ".weba": "audio/webm",
	// Films. A .ts is a part of a stream: no browser runs TypeScript.
	".3g2": "video/3gpp2", ".3gp": "video/3gpp", ".avi": "video/x-msvideo", ".flv": "video/x-flv",
	".m2ts": "video/mp2t", ".m3u8": "application/vnd.apple.mpegurl", ".m4s": "video/iso.segment", ".m4v": "video/mp4",
	".mkv": "video/x-matroska", ".mov": "video/quicktime", ".mp4": "video/mp4", ".mpd": "application/dash+xml", ".mpeg": "video/mpeg",
	".mpg": "video/mpeg", ".ogv": "video/ogg", ".qt": "video/quicktime", ".ts": "video/mp2t", ".webm": "video/webm", ".wmv": "video/x-ms-wmv",
	// Models.
	".glb": "model/gltf-binary", ".gltf": "model/gltf+json", ".obj": "model/obj", ".stl": "model/stl", ".usdz": "model/vnd.usdz+zip",
	// Documents.
	".azw": "application/vnd.amazon.ebook", ".doc": "application/msword",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".epub": "application/epub+zip",
	".odp": "application/vnd.oasis.opendocument.presentation", ".ods": "application/vnd.oasis.opendocument.spreadsheet",
	".odt": "application/vnd.oasis.opendocument.text", ".pdf": "application/pdf", ".ppt": "application/vnd.ms-powerpoint",
	".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation", ".ps": "application/postscript",
	".rtf": "application/rtf", ".xls": "application/vnd.ms-excel",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	// Archives and programs.
	".7z": "application/x-7z-compressed", ".apk": "application/vnd.android.package-archive", ".bin": "application/octet-stream",
	".br": "application/octet-stream", ".bz2": "application/x-bzip2", ".crx": "application/x-chrome-extension",
	".deb": "application/vnd.debian.binary-package", ".dmg": "application/x-apple-diskimage", ".exe": "application/vnd.microsoft.portable-executable",
	".gz": "application/gzip", ".ipa": "application/octet-stream", ".iso": "application/x-iso9660-image", ".jar": "application/java-archive",
	".mobileconfig": "application/x-apple-aspen-config", ".msi": "application/x-msi", ".rar": "application/vnd.rar", ".rpm": "application/x-rpm",
	".swf": "application/x-shockwave-flash", ".tar": "application/x-tar", ".tgz": "application/gzip", ".torrent": "application/x-bittorrent",
	".xpi": "application/x-xpinstall", ".xz": "application/x-xz", ".zip": "application/zip", ".zst": "application/zstd",
	// Keys.
	".cer": "application/pkix-cert", ".crl": "application/pkix-crl", ".crt": "application/x-x509-ca-cert", ".pem": "application/x-pem-file",
}
