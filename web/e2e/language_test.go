package e2e

import (
	"testing"

	"github.com/chromedp/cdproto/emulation"
)

// speaks makes the tab ask for a language, as a browser set to it does.
func (p *tab) speaks(language string) {
	p.t.Helper()
	call(p, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{
		UserAgent:      eval[string](p, `navigator.userAgent`),
		AcceptLanguage: language,
	})
}

func TestLanguage(t *testing.T) {
	s := serve(t)
	tests := []struct {
		accept             string
		lang               string
		send, label, count string
		unnamed            string
	}{
		{"ja", "ja", "送信", "名前", "1 人", "名無し"},
		{"de-DE,ja-JP,en", "ja", "送信", "名前", "1 人", "名無し"},
		{"en-GB", "en", "Send", "Your name", "1 here", "anonymous"},
		{"fr", "en", "Send", "Your name", "1 here", "anonymous"},
	}
	for _, tt := range tests {
		t.Run(tt.accept, func(t *testing.T) {
			p := blank(t)
			p.speaks(tt.accept)
			p.visit(s)
			p.say("x")
			p.wait(shows("x"))
			texts := map[string]string{
				`document.documentElement.lang`:                         tt.lang,
				`document.querySelector("#send").textContent`:           tt.send,
				`document.querySelector("label[for=name]").textContent`: tt.label,
				`document.querySelector("#count").textContent`:          tt.count,
				`document.querySelector(".message .name").textContent`:  tt.unnamed,
				`document.querySelector("#name").placeholder`:           tt.unnamed,
			}
			for expression, want := range texts {
				if got := eval[string](p, expression); got != want {
					t.Errorf("%s: %q, want %q", expression, got, want)
				}
			}
			p.quiet()
		})
	}
}
