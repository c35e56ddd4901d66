// Package certificate has the certificate of a TLS server, and reads its files
// again when they have changed.
//
// Nobody watches the files. A handshake looks at them, once in Options.Every at
// most, and only one at a time: the others go on with what there is, so that a slow
// disk holds up no more than one client. What cannot be used, such as a certificate
// whose key has not been written yet, changes nothing, is reported once, and is
// looked at again the next time.
package certificate
