import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import { ConfigurationError } from '../token/index.ts'
import { base64url } from '../util/index.ts'
import { LABELS, whatIs } from './read-private-key.ts'

/** PEM of a certificate, of what belongs to it, and of the authorities that its connections trust. */
export interface CertificateTexts {
  readonly cert: string
  readonly key: string
  readonly passphrase: string | undefined
  readonly ca: string | undefined
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/

/** What messages call the texts: an option, or an option and a path. */
export interface CertificateSubjects {
  readonly cert: string
  readonly key: string
  readonly ca: string
}

/** A certificate whose key belongs to it, ready for connections. Holds no text of the key. */
export interface CertificatePair {
  readonly thumbprint: string
  readonly expiresAt: number
  /** The same for pairs that make the same connections. */
  readonly identity: string
  readonly secureContext: SecureContext
}

/**
 * Puts a certificate and its key together.
 *
 * @throws ConfigurationError with code `certificate_invalid`, `certificate_expired` or `key_invalid`; it tells what kind of text came
 * and never the text.
 */
export function certificatePair(
  texts: CertificateTexts,
  subjects: CertificateSubjects,
  wallTime: number,
): CertificatePair {
  const { cert, key, passphrase, ca } = texts
  const certificate = readCertificate(cert, subjects.cert)
  const expiresAt = Date.parse(certificate.validTo)
  if (Number.isNaN(expiresAt)) throw certificateInvalid(subjects.cert, 'a certificate that ends', 'another one')
  if (expiresAt <= wallTime) throw certificateExpired(subjects.cert, expiresAt)
  const startsAt = Date.parse(certificate.validFrom)
  if (startsAt > wallTime) {
    const day = new Date(startsAt).toISOString()
    throw certificateInvalid(subjects.cert, 'a certificate that is valid', `one that is not before ${day}`)
  }
  if (ca !== undefined) readCertificate(ca, subjects.ca)
  if (!certificate.checkPrivateKey(readKey(key, passphrase, subjects.key))) {
    throw certificateInvalid(subjects.key, `the private key of ${subjects.cert}`, 'that of another certificate')
  }
  return {
    thumbprint: base64url(Buffer.from(certificate.fingerprint256.replaceAll(':', ''), 'hex')),
    expiresAt,
    identity: JSON.stringify([cert, ca]),
    secureContext: contextOf(texts, subjects.cert),
  }
}

/** What is thrown about a certificate whose time is over. */
export function certificateExpired(subject: string, expiresAt: number): ConfigurationError {
  const day = new Date(expiresAt).toISOString()
  return new ConfigurationError(`${subject}: expected a certificate that is valid, got one that expired at ${day}`, {
    code: 'certificate_expired',
  })
}

function contextOf({ cert, key, passphrase, ca }: CertificateTexts, subject: string): SecureContext {
  try {
    return createSecureContext({
      cert,
      key,
      ...(passphrase !== undefined && { passphrase }),
      ...(ca !== undefined && { ca }),
    })
  } catch (error) {
    // A key that is too short for TLS, a chain with a damaged part. The cause is left out: it may quote the texts.
    const { code } = Object(error) as { readonly code?: unknown }
    throw certificateInvalid(subject, 'a certificate that TLS takes', typeof code === 'string' ? code : 'another one')
  }
}

function readCertificate(text: string, subject: string): X509Certificate {
  try {
    // The first one is the leaf, for TLS as well. A key may stand before it, which X509Certificate does not skip.
    const leaf = CERTIFICATE.exec(text)?.[0]
    if (leaf !== undefined) return new X509Certificate(leaf)
  } catch {
    // Told below, without the cause: it may quote the text.
  }
  const [[, label] = []] = text.matchAll(LABELS)
  const other = label === undefined ? whatIs(text, undefined) : `PEM of a ${label.toLowerCase()}`
  throw certificateInvalid(subject, 'a certificate in PEM', label === 'CERTIFICATE' ? 'one that is damaged' : other)
}

function readKey(text: string, passphrase: string | undefined, subject: string): KeyObject {
  try {
    return createPrivateKey({ key: text, format: 'pem', ...(passphrase !== undefined && { passphrase }) })
  } catch {
    // The cause is left out: it may quote the key.
    throw new ConfigurationError(`${subject}: expected a private key in PEM, got ${whatIs(text, passphrase)}`, {
      code: 'key_invalid',
    })
  }
}

function certificateInvalid(subject: string, expected: string, came: string): ConfigurationError {
  return new ConfigurationError(`${subject}: expected ${expected}, got ${came}`, { code: 'certificate_invalid' })
}
