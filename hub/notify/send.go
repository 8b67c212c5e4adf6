package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/writ-dev/writ/hub/store"
)

const (
	pollEvery   = time.Second      // how often a queue is looked at
	sendWithin  = 10 * time.Second // of one attempt
	firstPause  = time.Second      // after the first failure; it doubles
	mostPause   = 5 * time.Minute
	mostAtOnce  = 64
	mostAnswer  = 4 << 10 // bytes of an answer that are read
	mostAttempt = 100
)

// slackText takes the meaning from what would be a link or a mention (https://docs.slack.dev/messaging/formatting-message-text).
var slackText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// Sender sends what is queued. Make it with New, start it with Run.
type Sender struct {
	store store.Store
	hooks []Hook
	log   *slog.Logger
	now   func() time.Time
	http  *http.Client
}

// New makes a sender.
func New(s store.Store, hooks []Hook, log *slog.Logger, now func() time.Time) *Sender {
	return &Sender{store: s, hooks: hooks, log: log, now: now, http: &http.Client{Timeout: sendWithin,
		// What is signed for one address is for no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Run sends until the context ends.
func (s *Sender) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for _, hook := range s.hooks {
		running.Go(func() {
			tick := time.NewTicker(pollEvery)
			defer tick.Stop()
			for {
				if err := s.drain(ctx, hook); err != nil && ctx.Err() == nil {
					s.log.WarnContext(ctx, "notices wait", "hook", hook.Name, "error", err)
				}
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
	running.Wait()
	return nil
}

// drain looks once at everything that is queued for a hook.
func (s *Sender) drain(ctx context.Context, hook Hook) error {
	after := ""
	for {
		items, err := s.store.Scan(ctx, queueOf(hook.Name), after, mostAtOnce)
		if err != nil {
			return err
		}
		for _, item := range items {
			after = item.Key
			if err := s.attempt(ctx, hook, item); err != nil {
				return err
			}
		}
		if len(items) < mostAtOnce {
			return nil
		}
	}
}

// attempt sends one message if it is time, and writes down what came of it.
func (s *Sender) attempt(ctx context.Context, hook Hook, item store.Item) error {
	now := s.now()
	var q queued
	if err := json.Unmarshal(item.Value, &q); err != nil {
		s.log.ErrorContext(ctx, "a notice cannot be read", "hook", hook.Name, "key", item.Key, "error", err)
		return s.put(ctx, item, nil)
	}
	if now.Before(q.Next) {
		return nil
	}
	if now.After(q.Message.Ends) || q.Attempts >= mostAttempt {
		s.log.ErrorContext(ctx, "a notice was never taken", "hook", hook.Name, "notice", q.Message.ID, "attempts", q.Attempts)
		return s.put(ctx, item, nil)
	}
	err := s.send(ctx, hook, q.Message, now)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		s.log.InfoContext(ctx, "notice", "hook", hook.Name, "notice", q.Message.ID, "attempts", q.Attempts+1)
		return s.put(ctx, item, nil)
	}
	pause := min(mostPause, firstPause<<min(q.Attempts, 10))
	q.Attempts, q.Next = q.Attempts+1, s.now().Add(pause)
	s.log.WarnContext(ctx, "a notice will be sent again", "hook", hook.Name, "notice", q.Message.ID, "in", pause, "error", err)
	raw, err := json.Marshal(q)
	if err != nil {
		return err
	}
	return s.put(ctx, item, raw)
}

// put writes what is left of a message; nil: nothing. Who wrote it anew meanwhile is not overwritten.
func (s *Sender) put(ctx context.Context, item store.Item, raw []byte) error {
	op := store.Delete(item.Key)
	if raw != nil {
		op = store.Put(item.Key, raw)
	}
	err := s.store.Commit(ctx, store.Check(item.Key, item.Version), op)
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// send makes one attempt. Its errors never name the URL, which may be a secret.
func (s *Sender) send(ctx context.Context, hook Hook, m Message, now time.Time) error {
	body := []byte(m.Body)
	if hook.Format == Slack {
		var err error
		if body, err = json.Marshal(map[string]string{"text": slackText.Replace(m.Text)}); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL cannot be used")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "writ-hub")
	if hook.Format == Webhook {
		timestamp := strconv.FormatInt(now.Unix(), 10)
		request.Header.Set(HeaderID, m.ID)
		request.Header.Set(HeaderTimestamp, timestamp)
		request.Header.Set(HeaderSignature, Sign(hook.Secret, timestamp, body))
	}
	answer, err := s.http.Do(request)
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		return failed.Err
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, mostAnswer))
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("it answered %s", answer.Status)
	}
	return nil
}
