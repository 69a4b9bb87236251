package plan

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// TLS is how connections are encrypted.
type TLS struct {
	ServerName string `json:"server_name"` // whose certificate it has to be
	CA         []byte `json:"ca"`          // PEM: whom to trust besides those that the system does
	Insecure   bool   `json:"insecure"`    // any certificate will do
}

// Config returns it as crypto/tls has it.
func (t *TLS) Config() (*tls.Config, error) {
	var trusted *x509.CertPool // nil: the system's
	if len(t.CA) > 0 {
		var err error
		if trusted, err = x509.SystemCertPool(); err != nil { // a system that has none
			trusted = x509.NewCertPool()
		}
		if !trusted.AppendCertsFromPEM(t.CA) {
			return nil, errors.New("no certificate to trust can be read")
		}
	}
	return &tls.Config{
		ServerName:         t.ServerName,
		RootCAs:            trusted,
		InsecureSkipVerify: t.Insecure,
		NextProtos:         []string{"http/1.1"}, // as browsers ask for
	}, nil
}
