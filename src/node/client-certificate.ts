import type { ClientCertificate } from '../oauth/index.ts'
import { ConfigurationError } from '../token/index.ts'
import { type Clock, systemClock } from '../util/index.ts'
import { type Connections, closed, createConnections } from './certificate-connections.ts'
import { type CertificatePair, certificateExpired, certificatePair } from './certificate-pair.ts'
import { type CertificateOrigin, type ClientCertificateSource, certificateOrigin } from './certificate-source.ts'

/** How the files of a client certificate are watched and judged. */
export interface ClientCertificateOptions {
  /** How often the files are looked at while no token is requested. Default 60,000, at least 1,000. */
  readonly checkEveryMs?: number | undefined
  /**
   * Who else may read `keyFile`. `private` refuses a file that its group or others can read, or that belongs to somebody other than
   * root and this process's user. Default `private`.
   */
  readonly permissions?: 'private' | 'any' | undefined
  /** Where time comes from. */
  readonly clock?: Clock | undefined
}

/** A client certificate on Node, with connections to close. */
export interface NodeClientCertificate extends ClientCertificate, AsyncDisposable {
  /**
   * Looks whether the files were replaced, once a second at most.
   *
   * @throws what is wrong with the files, or ConfigurationError with code `certificate_expired`, but only once the certificate in use
   * has expired.
   */
  refresh(): Promise<void>
  /** Stops looking at the files and cuts the connections, those with requests under way too. */
  close(): Promise<void>
}

const MIN_CHECK_MS = 1000
const MAX_CHECK_MS = 2 ** 31 - 1

/**
 * A client certificate for mutual TLS (RFC 8705), with connections over undici, which has to be installed.
 *
 * Files are read at once, and again when they change: new connections then present the new certificate, and requests under way
 * finish over the old ones. A certificate and a key that do not belong together are left until they do. `fetch` takes https URLs
 * alone and follows no redirect; a `Request` with a body is sent in chunks.
 *
 * @throws ConfigurationError with code `option_invalid`, `certificate_invalid`, `certificate_expired`, `key_invalid`,
 * `file_unreadable`, `file_invalid` or `file_permissions`; TransportError with code `file_unsettled`. `fetch` rejects with
 * ConfigurationError: `peer_missing` without undici, `url_invalid` for a URL that is not https, `closed` after `close()`.
 */
export function clientCertificate(
  source: ClientCertificateSource,
  options: ClientCertificateOptions = {},
): NodeClientCertificate {
  const { checkEveryMs = 60_000, permissions, clock = systemClock } = options
  if (!Number.isInteger(checkEveryMs) || checkEveryMs < MIN_CHECK_MS || checkEveryMs > MAX_CHECK_MS) {
    const range = `${MIN_CHECK_MS} to ${MAX_CHECK_MS}`
    throw new ConfigurationError(`clientCertificate: expected checkEveryMs to be a whole number from ${range}`, {
      code: 'option_invalid',
    })
  }
  return new WatchedCertificate(certificateOrigin(source, permissions), { checkEveryMs, clock })
}

class WatchedCertificate implements NodeClientCertificate {
  readonly fetch: typeof globalThis.fetch = async (input, init) => {
    if (this.#isClosed) throw closed()
    return this.#connections.send(input, init)
  }
  readonly #origin: CertificateOrigin
  readonly #clock: Clock
  readonly #checkEveryMs: number
  readonly #retiring = new Set<Connections>()
  #pair: CertificatePair
  #stamp: string
  #connections: Connections
  #lookedAt: number
  #look: Promise<void> | undefined
  /** What kept the newest files from being used. */
  #problem: unknown
  #stopTimer: () => void = () => {}
  #isClosed = false

  constructor(origin: CertificateOrigin, { checkEveryMs, clock }: { checkEveryMs: number; clock: Clock }) {
    this.#origin = origin
    this.#clock = clock
    this.#checkEveryMs = checkEveryMs
    this.#lookedAt = clock.now()
    const { texts, stamp } = origin.readSync()
    this.#stamp = stamp
    this.#pair = certificatePair(texts, origin.subjects, clock.wallTime())
    this.#connections = createConnections(this.#pair.secureContext)
    if (origin.hasFiles) this.#startTimer()
  }

  get thumbprint(): string {
    return this.#pair.thumbprint
  }

  get expiresAt(): number {
    return this.#pair.expiresAt
  }

  async refresh(): Promise<void> {
    if (this.#isClosed) throw closed()
    await this.#lookAtFiles()
    if (this.#pair.expiresAt > this.#clock.wallTime()) return
    throw this.#problem ?? certificateExpired(this.#origin.subjects.cert, this.#pair.expiresAt)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#stopTimer()
    await this.#look
    await Promise.all([this.#connections, ...this.#retiring].map((connections) => connections.destroy()))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #startTimer(): void {
    this.#stopTimer = this.#clock.setTimer(async () => {
      await this.#lookAtFiles()
      if (!this.#isClosed) this.#startTimer()
    }, this.#checkEveryMs)
  }

  /** Never rejects. */
  async #lookAtFiles(): Promise<void> {
    // No await between the look at the flight and the claim: those who come meanwhile wait for this one.
    if (this.#look !== undefined) return this.#look
    const now = this.#clock.now()
    if (!this.#origin.hasFiles || now - this.#lookedAt < MIN_CHECK_MS) return
    this.#lookedAt = now
    this.#look = this.#readChanges()
    await this.#look
    this.#look = undefined
  }

  async #readChanges(): Promise<void> {
    try {
      const found = await this.#origin.readChanged(this.#stamp)
      if (found !== undefined && !this.#isClosed) {
        this.#replace(certificatePair(found.texts, this.#origin.subjects, this.#clock.wallTime()))
        this.#stamp = found.stamp
      }
      this.#problem = undefined
    } catch (error) {
      // Files are replaced one after the other, so the old pair stays in use as long as it is valid, and then this is thrown. The
      // stamp stays old as well: the next look reads again.
      this.#problem = error
    }
  }

  #replace(pair: CertificatePair): void {
    if (pair.identity === this.#pair.identity) return
    const retired = this.#connections
    this.#pair = pair
    this.#connections = createConnections(pair.secureContext)
    this.#retiring.add(retired)
    const forget = (): boolean => this.#retiring.delete(retired)
    retired.retire().then(forget, forget)
  }
}
