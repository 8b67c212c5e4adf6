package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// The headers of what is sent to a webhook.
const (
	HeaderID        = "Writ-Notice"    // the message's ID: what comes twice has the same one
	HeaderTimestamp = "Writ-Timestamp" // seconds since 1970, of this attempt
	HeaderSignature = "Writ-Signature" // v1=HEX
)

// ErrSignature is what Verify returns for what the hub did not send, or not now.
var ErrSignature = errors.New("the notice is not signed with this secret, or not of this time")

// Sign is the signature of a body: HMAC-SHA256 (RFC 2104) over the timestamp, a dot and the body.
func Sign(secret []byte, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

// Verify is what a receiver does before it believes a notice: the signature is right, and the timestamp at most tolerance away.
func Verify(secret []byte, header http.Header, body []byte, now time.Time, tolerance time.Duration) error {
	timestamp := header.Get(HeaderTimestamp)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > tolerance {
		return ErrSignature
	}
	if !hmac.Equal([]byte(Sign(secret, timestamp, body)), []byte(header.Get(HeaderSignature))) {
		return ErrSignature
	}
	return nil
}
