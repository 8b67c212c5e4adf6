package redact_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/redact"
)

func TestSecretsAreTakenOut(t *testing.T) {
	for text, want := range map[string]string{
		`login password=hunter2 ok`:                    `login password=[redacted] ok`,
		`{"db_password":"hunter2","user":"x"}`:         `{"db_password":[redacted],"user":"x"}`,
		`{\"token\":\"hunter2\"}`:                      `{\"token\":[redacted]}`,
		`apiKey: 'hunter2 and more'`:                   `apiKey: [redacted]`,
		`AWS_SECRET_ACCESS_KEY=hunter2`:                `AWS_SECRET_ACCESS_KEY=[redacted]`,
		`Authorization: Basic aHVudGVyMg==`:            `Authorization: [redacted]`,
		`sent Bearer hunter2hunter2`:                   `sent Bearer [redacted]`,
		`Set-Cookie: session=hunter2; Path=/`:          `Set-Cookie: [redacted]`,
		`GET postgres://me:hunter2@db:5432/x`:          `GET postgres://[redacted]@db:5432/x`,
		`jwt eyJhbGciOiJ9.eyJzdWIi.c2ln end`:           `jwt [redacted] end`,
		`key AKIAABCDEFGHIJKLMNOP end`:                 `key [redacted] end`,
		`ghp_abcdefghijklmnopqrstuvwxyz0123456789`:     `[redacted]`,
		"a\n-----BEGIN PRIVATE KEY-----\nhunter2\n":    "a\n[redacted]",
		`x c2VjcmV0IGtleSB3aXRoIDEyMyBhbmQgQUJD0123 y`: `x [redacted] y`,
		`mode is swordfish, said swordfish-and-more`:   `mode is [redacted], said [redacted]`,
		`image a@sha256:` + strings.Repeat("0a", 32):   `image a@sha256:` + strings.Repeat("0a", 32),
		`pod checkout-5d8f7c9b6d-abcde is not ready`:   `pod checkout-5d8f7c9b6d-abcde is not ready`,
		`2026-11-25T22:00:00Z GET /health 200 in 3 ms`: `2026-11-25T22:00:00Z GET /health 200 in 3 ms`,
	} {
		require.Equal(t, want, redact.Text(text, []string{"swordfish", "swordfish-and-more", "on", ""}), text)
	}
}

// Whatever it is given, it ends soon and takes out what it was told to.
func FuzzText(f *testing.F) {
	f.Add("password=", "hunter2")
	f.Add("-----BEGIN A-----", "secret")
	f.Add("eyJ", "a.b.c.d")
	f.Fuzz(func(t *testing.T, text, value string) {
		out := redact.Text(text+value, []string{value})
		if len(value) >= 6 && !strings.Contains(redact.Hidden, value) { //nolint:gocritic // a value that is part of what hides it
			require.NotContains(t, out, value)
		}
	})
}
