/**
 * Servers make nonces of encrypted times and signed JWTs: with an RSA key of 4096 bits about 850 characters. Every proof carries
 * its nonce in a header that servers cut off at some kilobytes, and the access token needs most of that.
 */
const MAX_LENGTH = 1024
/** One or more NQCHAR. Two header lines come joined by a comma and a space, and the space is none. */
const NONCE = /^[\x21\x23-\x5b\x5d-\x7e]+$/

/** Whether a value is a nonce (RFC 9449 section 8.1), of a length that makes sense. */
export function isNonce(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_LENGTH && NONCE.test(value)
}
