package main

import (
	_ "embed"
	"html/template"
	"io"
	"strings"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(helpers).Funcs(template.FuncMap{
	"light": func() template.CSS { return variables(func(s shade) string { return s.Light }) },
	"dark":  func() template.CSS { return variables(func(s shade) string { return s.Dark }) },
	"parts": parts,
}).Parse(pageText))

// renderPage writes the report as one page that needs nothing else: no scripts, no requests.
func renderPage(w io.Writer, r *Results) error {
	return pageTemplate.Execute(w, r)
}

// parts takes a cell's figure apart: on the page its range stands below the median.
func parts(cell string) map[string]string {
	value, spread, ok := strings.Cut(cell, " [")
	if ok {
		spread = "[" + spread
	}
	return map[string]string{"Value": value, "Range": spread}
}

// variables are the shades for a style sheet.
func variables(of func(shade) string) template.CSS {
	text := ""
	for _, s := range shades {
		text += "--" + s.Name + ": " + of(s) + "; "
	}
	return template.CSS(text)
}
