// The certificate library needs a polyfill of decorator metadata, which has to be there before it.
import 'reflect-metadata'
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import type { CryptoKey } from 'jose'

/** A certificate with its private key, as `node:tls` takes them. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

/** What may be wrong with a certificate of a server on 127.0.0.1. */
export type CertificateFault = 'self-signed' | 'expired' | 'not-yet-valid' | 'wrong-host'

/** An authority that nobody trusts who was not told to. */
export interface CertificateAuthority {
  /** PEM; what a client has to trust. */
  readonly ca: string
  /** A certificate for 127.0.0.1 and localhost, good but for one fault. */
  issue(fault?: CertificateFault): Promise<Certificate>
  /** A certificate for a client. */
  issueClient(request: ClientCertificateRequest): Promise<Certificate>
}

/** Whom a client certificate names. */
export interface ClientCertificateRequest {
  /** Becomes the subject, `CN=<name>`. */
  readonly name: string
  /** A DNS name in it (RFC 8705 section 2.1.2, `tls_client_auth_san_dns`). */
  readonly host?: string
  /** Ends so many days from now; below zero it has ended. Default: within a day. */
  readonly expiresInDays?: number
  /** Begins so many days from now. Default: an hour ago. */
  readonly startsInDays?: number
  /** Signed by itself in place of the authority. */
  readonly selfSigned?: boolean
}

interface Party {
  readonly certificate: X509Certificate
  readonly keys: { readonly privateKey: CryptoKey; readonly publicKey: CryptoKey }
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const DAY_MS = 86_400_000
let serialNumber = 0

/** Makes an authority with a key of its own. */
export async function createCertificateAuthority(name = 'Test authority'): Promise<CertificateAuthority> {
  const authority = await certify({ subject: `CN=${name}`, isAuthority: true })
  return {
    ca: authority.certificate.toString('pem'),
    async issue(fault) {
      const days = { expired: -2, 'not-yet-valid': 2 }[fault as string] ?? 0
      const { certificate, keys } = await certify({
        subject: 'CN=test server',
        host: fault === 'wrong-host' ? 'elsewhere.example' : 'localhost',
        startsAt: Date.now() + days * DAY_MS,
        ...(fault !== 'self-signed' && { issuer: authority }),
      })
      return pemOf({ certificate, keys })
    },
    async issueClient({ name, host, expiresInDays, startsInDays, selfSigned = false }) {
      const party = await certify({
        subject: `CN=${name}`,
        ...(host !== undefined && { host }),
        ...(expiresInDays !== undefined && { endsAt: Date.now() + expiresInDays * DAY_MS }),
        ...(expiresInDays !== undefined &&
          expiresInDays <= 0 && { startsAt: Date.now() + (expiresInDays - 1) * DAY_MS }),
        ...(startsInDays !== undefined && { startsAt: Date.now() + startsInDays * DAY_MS }),
        ...(!selfSigned && { issuer: authority }),
      })
      return pemOf(party)
    },
  }
}

async function pemOf({ certificate, keys }: Party): Promise<Certificate> {
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')
  return {
    cert: certificate.toString('pem'),
    key: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`,
  }
}

interface CertificateRequest {
  readonly subject: string
  readonly host?: string
  readonly isAuthority?: boolean
  /** Valid from an hour before this. */
  readonly startsAt?: number
  /** Default: 23 hours after `startsAt`. */
  readonly endsAt?: number
  /** Without one it signs itself. */
  readonly issuer?: Party
}

async function certify({
  subject,
  host,
  isAuthority = false,
  startsAt = Date.now(),
  endsAt = startsAt + (DAY_MS * 23) / 24,
  issuer,
}: CertificateRequest): Promise<Party> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.create({
    serialNumber: (++serialNumber).toString(16).padStart(2, '0'),
    subject,
    issuer: issuer?.certificate.subject ?? subject,
    notBefore: new Date(startsAt - DAY_MS / 24),
    notAfter: new Date(endsAt),
    publicKey: keys.publicKey,
    signingKey: issuer?.keys.privateKey ?? keys.privateKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(isAuthority, undefined, true),
      new KeyUsagesExtension(isAuthority ? KeyUsageFlags.keyCertSign : KeyUsageFlags.digitalSignature, true),
      ...(host === undefined ? [] : [new SubjectAlternativeNameExtension(namesFor(host))]),
    ],
  })
  return { certificate, keys }
}

function namesFor(host: string): { type: 'dns' | 'ip'; value: string }[] {
  const name = { type: 'dns', value: host } as const
  return host === 'localhost' ? [name, { type: 'ip', value: '127.0.0.1' }] : [name]
}
