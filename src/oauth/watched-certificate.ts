import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import type { ClientCertificate } from './client-authentication/index.ts'

/** A client's certificate, which is looked at before every request to the server. */
export interface WatchedCertificate {
  readonly thumbprint: string
  /** Takes up a certificate that was replaced, and tells of one that expires soon. */
  ready(): Promise<void>
}

/** What watching a certificate needs. */
export interface CertificateWatch {
  readonly clientName: string
  readonly clock: Clock
  readonly telemetry: Telemetry
}

const DAY_MS = 24 * 60 * 60 * 1000
/** So long before its end a certificate is worth a warning. */
const WARN_BEFORE_MS = 7 * DAY_MS

/** Watches a client's certificate; its expiry is told a week ahead, once a day. */
export function watchCertificate(
  certificate: ClientCertificate,
  { clientName: client, clock, telemetry }: CertificateWatch,
): WatchedCertificate {
  let toldAt = Number.NEGATIVE_INFINITY
  return {
    get thumbprint() {
      return certificate.thumbprint
    },
    async ready() {
      await certificate.refresh?.()
      const now = clock.now()
      const { expiresAt } = certificate
      if (now < expiresAt - WARN_BEFORE_MS || now < toldAt + DAY_MS) return
      toldAt = now
      telemetry.note({ name: 'certificate_expiring', client, expiresAt })
    },
  }
}
