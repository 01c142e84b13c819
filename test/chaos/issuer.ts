import { EventEmitter, once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Answer, HostileServer, SeenRequest } from '../support/hostile-server.ts'

/** A token request as the authorization server saw it, and what it gave. */
export interface Issued {
  readonly n: number
  readonly clientId: string
  /** Which process asked. */
  readonly process: string
  /** When it came in, by this machine's clock. */
  readonly at: number
  readonly token: string
}

/** A request to the API that was refused. */
export interface Refusal {
  readonly reason: 'dead' | 'foreign' | 'unknown' | 'revoked'
  readonly token: string
  readonly process: string
}

/** A token request that gets its answer when somebody says so. */
export interface Held {
  readonly asked: Promise<Issued>
  release(): void
}

/** An authorization server and an API that believe nobody: what they count is the truth. */
export interface Issuer {
  readonly origin: string
  /** Token requests in the order in which they came. */
  readonly requests: readonly Issued[]
  readonly refusals: readonly Refusal[]
  readonly lifetimeMs: number
  /** How long an answer takes from now on. */
  delayMs: number
  /** Holds the next token request back. */
  hold(): Held
  /** Resolves as soon as so many token requests have come. */
  until(count: number): Promise<void>
  /** The API takes this token no more. Of its refusals every other one waits, if there is something to wait for. */
  revoke(token: string, stragglersWaitFor?: Promise<unknown>): void
  /** Those of the tokens in a report that were handed out after their end, or to another client. */
  wrong(tokens: Readonly<Record<string, number>>, clientIds: readonly string[]): readonly string[]
}

/** What reading a clock and a turn of the event loop may take after the last look at a token. */
const TOLERANCE_MS = 50
/** What the way to the API may take on a busy machine, when a token was used just before its end. */
const TRANSIT_MS = 500

/** Makes one of a hostile server. */
export function createIssuer(server: HostileServer, lifetimeMs: number): Issuer {
  const events = new EventEmitter().setMaxListeners(0)
  const requests: Issued[] = []
  const refusals: Refusal[] = []
  const diesAt = new Map<string, number>()
  const revoked = new Map<string, { stragglersWaitFor: Promise<unknown> | undefined; count: number }>()
  let gate: { readonly opened: Promise<void>; tell(issued: Issued): void } | undefined

  async function issue(request: SeenRequest): Promise<Answer> {
    const clientId = clientOf(request)
    const token = `${clientId}.${requests.length + 1}`
    const issued = { n: requests.length + 1, clientId, process: processOf(request), at: Date.now(), token }
    const held = gate
    gate = undefined
    requests.push(issued)
    events.emit('request')
    held?.tell(issued)
    await Promise.all([held?.opened, delay(issuer.delayMs)])
    diesAt.set(token, Date.now() + lifetimeMs)
    return { body: JSON.stringify({ access_token: token, token_type: 'Bearer', expires_in: lifetimeMs / 1000 }) }
  }
  async function serve(request: SeenRequest): Promise<Answer> {
    const token = request.headers.authorization?.split(' ')[1] ?? ''
    const reason = faultOf(token, request.url.split('/').at(-1) ?? '')
    if (reason === undefined) return { body: '{}' }
    refusals.push({ reason, token, process: processOf(request) })
    const revocation = revoked.get(token)
    if (revocation !== undefined && revocation.count++ % 2 === 1) await revocation.stragglersWaitFor
    return { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' }, body: '{}' }
  }
  function faultOf(token: string, clientId: string): Refusal['reason'] | undefined {
    const end = diesAt.get(token)
    if (end === undefined) return 'unknown'
    if (!token.startsWith(`${clientId}.`)) return 'foreign'
    if (revoked.has(token)) return 'revoked'
    return Date.now() > end + TRANSIT_MS ? 'dead' : undefined
  }

  const issuer: Issuer = {
    origin: server.origin,
    requests,
    refusals,
    lifetimeMs,
    delayMs: 0,
    hold() {
      let release = (): void => {}
      const opened = new Promise<void>((resolve) => {
        release = resolve
      })
      const asked = new Promise<Issued>((tell) => {
        gate = { opened, tell }
      })
      return { asked, release }
    },
    async until(count) {
      while (requests.length < count) await once(events, 'request')
    },
    revoke: (token, stragglersWaitFor) => void revoked.set(token, { stragglersWaitFor, count: 0 }),
    wrong: (tokens, clientIds) =>
      Object.entries(tokens).flatMap(([token, lastAt]) => {
        const end = diesAt.get(token) ?? 0
        const isOurs = clientIds.some((clientId) => token.startsWith(`${clientId}.`))
        return isOurs && lastAt <= end + TOLERANCE_MS ? [] : [`${token} ${lastAt - end} ms after its end`]
      }),
  }
  server.answer = (request) => (request.url === '/token' ? issue(request) : serve(request))
  return issuer
}

function processOf({ headers }: SeenRequest): string {
  return String(headers['x-process'])
}

function clientOf({ headers }: SeenRequest): string {
  const credentials = Buffer.from(headers.authorization?.split(' ')[1] ?? '', 'base64').toString()
  return credentials.split(':')[0] ?? ''
}

/** Those requests that came in the first half of the life of the token before: nobody should have needed them. */
export function spareOf(requests: readonly Issued[], lifetimeMs: number): readonly Issued[] {
  const last = new Map<string, Issued>()
  return requests.filter((request) => {
    const before = last.get(request.clientId)
    last.set(request.clientId, request)
    return before !== undefined && request.at < before.at + lifetimeMs / 2
  })
}
