package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// askEvery is how soon a process that is not well is asked again.
	askEvery = time.Second
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 4 << 10
)

// Ask asks a process at a URL, as http://writ-hub-health:8080/readyz, until it says that it is well, or the context ends. The
// error is then the last answer, in one line.
func Ask(ctx context.Context, url string) error {
	for {
		err := askOnce(ctx, url)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(askEvery):
		}
	}
}

func askOnce(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*within)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return errors.Join(fmt.Errorf("%s: %s", url, strings.Join(strings.Fields(string(raw)), " ")), err)
}
