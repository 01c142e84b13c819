/** Something that takes time and is worth a span. Holds names only, never a value. */
export type Operation =
  | { readonly name: 'token.get'; readonly client: string }
  | { readonly name: 'token.request'; readonly client: string; readonly grantType: string }
  | { readonly name: 'store.get' | 'store.set' | 'store.delete'; readonly store: StoreName }
  | { readonly name: 'lock.wait'; readonly lock: StoreName }
  | { readonly name: 'resource.retry'; readonly reason: 'invalid_token' | 'use_dpop_nonce' | 'invalid_dpop_proof' }

/** What a store is used for. */
export type StoreName = 'tokens' | 'nonces' | 'invalidations'

/** Why an entry of an encrypted store counts as missing. */
export type EntryFault =
  /** Longer than an entry may be, read or to be written. */
  | 'too_long'
  /** Not what is written there: plain text, a part of an entry, another kind of value. */
  | 'malformed'
  /** Written by another version of this library. */
  | 'unknown_version'
  /** Encrypted with a key that is not on the ring. */
  | 'unknown_key'
  /** Altered, copied from another key of the store, or encrypted with another key under a known id. */
  | 'not_authentic'
  /** Older than an entry that this process has seen in its place. */
  | 'rolled_back'

/** Why the cookies of a session count as missing. */
export type CookieFault =
  /** Longer than cookies of a session can be. */
  | 'too_long'
  /** One of them is there twice. */
  | 'doubled'
  /** One of them is missing. */
  | 'incomplete'
  /** Not what is written there. */
  | 'malformed'
  /** Written by another version of this library. */
  | 'unknown_version'
  /** Encrypted with a key that is not on the ring. */
  | 'unknown_key'
  /** Altered, put together from several sessions or writes, or of another name or key. */
  | 'not_authentic'
  /** Written at a time that has not come yet. */
  | 'not_yet'

/** What became of an operation; filled in while it runs. */
export interface Outcome {
  /** `code` of the error that ended the operation. */
  error?: string
  /**
   * Where the token of a `token.get` came from: memory (`l1`), memory although it is time for a renewal or a look into the store (`stale`), the shared store or a user's session (`l2`), or the server (`miss`).
   */
  cache?: 'l1' | 'l2' | 'miss' | 'stale'
}

/** Something that happened and made no caller fail, but that an operator wants to know. */
export type TelemetryEvent =
  /** A renewal behind the scenes failed; the current token is still served. */
  | { readonly name: 'renewal_failed'; readonly client: string; readonly error: string }
  /** `expires_in` makes no sense: the token is handed out once and not cached. */
  | { readonly name: 'lifetime_invalid'; readonly client: string }
  /** The server granted other scope values than were asked for. */
  | { readonly name: 'scope_changed'; readonly client: string }
  /** The server refused the client, which proves itself once more: with another key, another time or another challenge. */
  | { readonly name: 'authentication_retried'; readonly client: string; readonly error: string }
  /** The server refused a DPoP proof, and gets another one: with its nonce, or dated by its clock. */
  | { readonly name: 'proof_retried'; readonly client: string; readonly error: string }
  /** The server's clock is so far ahead of this machine's, in milliseconds, and assertions were refused for it. */
  | { readonly name: 'clock_skew'; readonly client: string; readonly skewMs: number }
  /** The client's certificate expires soon, or has expired; told once a day. */
  | { readonly name: 'certificate_expiring'; readonly client: string; readonly expiresAt: number }
  /** Metadata could not be refreshed; the last good copy is used. */
  | { readonly name: 'metadata_stale'; readonly issuer: string; readonly error: string }
  /** Refreshed metadata names a token endpoint on another origin. */
  | { readonly name: 'token_endpoint_moved'; readonly issuer: string; readonly from: string; readonly to: string }
  /** A server, or the nonce store, gave what is no DPoP nonce; what was known before stays. */
  | {
      readonly name: 'nonce_ignored'
      readonly role: 'authorization_server' | 'resource_server'
      readonly origin: string
    }
  /** Three failures in a row: the store is asked once a second until it answers, and counts as empty until then. */
  | {
      readonly name: 'store_down'
      readonly store: StoreName
      readonly access: 'read' | 'write'
      readonly error: string
    }
  /** The store answers again. */
  | { readonly name: 'store_up'; readonly store: StoreName; readonly access: 'read' | 'write' }
  /** The lock that processes share is not to be had: machine clients ask for tokens without it, and sessions of users are claimed in their own place or not refreshed. */
  | { readonly name: 'lock_down'; readonly error: string }
  /** The lock is to be had again. */
  | { readonly name: 'lock_up' }
  /** A user's tokens were refreshed, and are kept. */
  | { readonly name: 'session_updated'; readonly client: string }
  /** A user has to sign in again by then, in milliseconds since the epoch: nothing can be refreshed after it. Told with tokens that live until then. */
  | { readonly name: 'session_expiring'; readonly client: string; readonly expiresAt: number }
  /** A user has to sign in again, or has signed out. */
  | { readonly name: 'session_ended'; readonly client: string; readonly reason: string }
  /** A logout token was refused, for the claim or the like that `reason` names; or the logout failed, with the code of an error. */
  | { readonly name: 'logout_failed'; readonly client: string; readonly reason: string }
  /** One write of a user's tokens failed; it is tried again. */
  | { readonly name: 'session_write_failed'; readonly client: string; readonly error: string }
  /** A user's new tokens are in the memory of this process only: the session store takes none. It is tried again behind the callers; told once more when that ends in vain. */
  | { readonly name: 'session_persist_failed'; readonly client: string }
  /** The answer to a refresh is about somebody else, or breaks the protocol: nothing of it is kept. */
  | { readonly name: 'refresh_discarded'; readonly client: string; readonly error: string }
  /** The application's `transformClaims` failed after a refresh, or took too long: the claims of before stay. */
  | { readonly name: 'claims_failed'; readonly client: string; readonly error: string }
  /** The server did not take back a token that is not needed any more. */
  | { readonly name: 'revocation_failed'; readonly client: string; readonly error: string }
  /** A request brought cookies of a session that count as missing. */
  | { readonly name: 'cookie_ignored'; readonly reason: CookieFault }
  /** Redis throws records away to make room, by this `maxmemory-policy`: users are signed out then. */
  | { readonly name: 'records_evictable'; readonly policy: string }
  /** An entry of an encrypted store counts as missing, or was not kept. */
  | { readonly name: 'entry_ignored'; readonly reason: EntryFault }

/** The one seam for spans, counters and logs. Implementations never throw. */
export interface Telemetry {
  /** Runs the work, and watches it. */
  run<T>(operation: Operation, work: (outcome: Outcome) => Promise<T>): Promise<T>
  /** Takes note of something that happened. */
  note(event: TelemetryEvent): void
}

/** Watches nothing. */
export const noTelemetry: Telemetry = {
  run: (_operation, work) => work({}),
  note: () => {},
}

/** The same, but a note that throws is lost: watching never breaks what is watched. */
export function harmless(telemetry: Telemetry): Telemetry {
  return {
    run: (operation, work) => telemetry.run(operation, work),
    note(event) {
      try {
        telemetry.note(event)
      } catch {
        // Named in the conventions: telemetry may fail without a word.
      }
    },
  }
}

/** The name of an error, for an outcome or an event: its code, or its class. */
export function errorName(error: unknown): string {
  if (!(error instanceof Error)) return 'thrown'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}

/** Runs the work, and notes in the outcome which error ended it. */
export function observe<T>(
  telemetry: Telemetry,
  operation: Operation,
  work: (outcome: Outcome) => Promise<T>,
): Promise<T> {
  return telemetry.run(operation, async (outcome) => {
    try {
      return await work(outcome)
    } catch (error) {
      outcome.error = errorName(error)
      throw error
    }
  })
}
