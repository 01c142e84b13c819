import { verifyProof } from './verify-proof.ts'

/**
 * How nonces change. `smooth`: not before all requests are answered that were on their way at the last change, and the one before is taken too.
 * `abrupt`: the one before is not taken, and no call has to answer two. `on errors`: likewise, and they come with demands alone. `thrashing`:
 * with every answer, whoever is on the way.
 */
export const NONCE_POLICIES = ['smooth', 'abrupt', 'on errors', 'thrashing'] as const
export type NoncePolicy = (typeof NONCE_POLICIES)[number]

/** A request on its way to a {@link NonceServer}. */
export interface SentRequest {
  readonly url: string
  readonly method: string
  readonly headers: Headers
  readonly form: URLSearchParams
  /** Which call it belongs to; token requests are calls of their own. */
  readonly call: string
  /** What its proof says. */
  readonly nonce: string | undefined
  /** The number of the newest nonce that its sender had seen for sure, by what nonces are kept by. */
  readonly newestSeen: ReadonlyMap<string, number>
}

export interface NonceServerOptions {
  readonly policy: NoncePolicy
  /** Whether answers may overtake each other, so that nobody can tell which nonce is the newest. */
  readonly isReordered: boolean
  readonly random: () => number
  /** Thumbprints of the keys that each client has. */
  readonly keysOf: (clientId: string) => readonly string[]
  /** Counts the times that everything has gone on which needs no answer. */
  readonly turn: () => number
  /** Whether any call of these is not over yet. */
  readonly isLive: (calls: ReadonlySet<string>) => boolean
}

interface Line {
  current: number
  /** Calls that have been asked for a nonce of this line. */
  readonly asked: Set<string>
  changedInTurn: number
}

interface Issued {
  readonly clientId: string
  readonly jkt: string
  isRevoked: boolean
}

/** An authorization server and an API at one origin, each with nonces of its own for each key. What breaks a rule is thrown. */
export class NonceServer {
  readonly counts = { demands: 0, refusals: 0, redirects: 0, failures: 0, rotations: 0, granted: 0, served: 0 }
  /** Requests to the API by the thumbprint of their key. */
  readonly servedBy = new Map<string, number>()
  readonly waiting = new Set<SentRequest>()
  readonly #options: NonceServerOptions
  readonly #lines = new Map<string, Line>()
  readonly #tokens = new Map<string, Issued>()
  readonly #lastUsed = new Map<string, Issued>()
  readonly #jtis = new Set<unknown>()
  #failuresLeft = 1

  constructor(options: NonceServerOptions) {
    this.#options = options
  }

  /** Refuses the token that a client used last. */
  revoke(clientId: string): void {
    const token = this.#lastUsed.get(clientId)
    if (token !== undefined) token.isRevoked = true
  }

  answer(request: SentRequest): Response {
    this.waiting.delete(request)
    return request.url.endsWith('/token') ? this.#grant(request) : this.#serve(request)
  }

  #grant(request: SentRequest): Response {
    const { url, method, headers, form } = request
    if (headers.has('authorization')) throw new Error('a token request with a token')
    const { jkt, claims } = this.#once(verifyProof(headers.get('dpop'), { method, url }))
    const clientId = String(form.get('client_id'))
    if (!this.#options.keysOf(clientId).includes(jkt)) throw new Error(`${clientId} proved with the key of another`)
    const line = lineName('authorization_server', jkt)
    const demand = this.#demand(request, { line, nonce: claims.nonce })
    if (demand !== undefined) return answered(400, demand, { error: 'use_dpop_nonce' })
    if (this.#failuresLeft > 0 && this.#options.random() < 0.1) {
      this.#failuresLeft--
      this.counts.failures++
      return answered(500, this.#news(line), { error: 'server_error' })
    }
    const access_token = `${clientId}.${this.#tokens.size}`
    this.#tokens.set(access_token, { clientId, jkt, isRevoked: false })
    this.counts.granted++
    return answered(200, this.#news(line), { access_token, token_type: 'DPoP', expires_in: 3600 })
  }

  #serve(request: SentRequest): Response {
    const { url, method, headers } = request
    const [, accessToken = ''] = /^DPoP (\S+)$/.exec(headers.get('authorization') ?? '') ?? []
    if (accessToken === '') throw new Error(`scheme is ${headers.get('authorization')?.split(' ')[0]}`)
    const token = this.#tokens.get(accessToken)
    const caller = headers.get('x-caller')
    if (token?.clientId !== caller) throw new Error(`${caller} came with the token of ${token?.clientId}`)
    const { jkt, claims } = this.#once(verifyProof(headers.get('dpop'), { method, url, accessToken }))
    if (token?.jkt !== jkt) throw new Error(`the token of ${caller} came with the proof of another key`)
    const line = lineName('resource_server', jkt)
    const demand = this.#demand(request, { line, nonce: claims.nonce })
    if (demand !== undefined) return answered(401, { ...demand, ...challenge('use_dpop_nonce') })
    const news = this.#news(line)
    if (token.isRevoked) {
      this.counts.refusals++
      return answered(401, { ...news, ...challenge('invalid_token') })
    }
    this.#lastUsed.set(token.clientId, token)
    this.servedBy.set(jkt, (this.servedBy.get(jkt) ?? 0) + 1)
    if (this.#options.random() < 0.02) {
      this.counts.failures++
      return answered(500, news)
    }
    const [, status, next] = /\/hop\/(\d+)\/(\S+)$/.exec(url) ?? []
    if (status !== undefined) {
      this.counts.redirects++
      return answered(Number(status), { ...news, location: `/${next}` })
    }
    this.counts.served++
    return answered(200, news, { caller })
  }

  #once<T extends { readonly claims: Readonly<Record<string, unknown>> }>(proof: T): T {
    if (this.#jtis.has(proof.claims.jti)) throw new Error('a proof came twice')
    this.#jtis.add(proof.claims.jti)
    return proof
  }

  /** What a demand for a nonce says, where the request has none that is good. */
  #demand(request: SentRequest, { line: name, nonce }: { line: string; nonce: unknown }): object | undefined {
    const { policy, isReordered } = this.#options
    const line = this.#line(name)
    const [, owner, text] = /^(.+)~(\d+)$/.exec(String(nonce ?? '')) ?? []
    if (nonce !== undefined && owner !== name) throw new Error(`the nonce of ${owner} went to ${name}`)
    const number = text === undefined ? -1 : Number(text)
    if (number > line.current) throw new Error('a nonce that nobody gave')
    const seen = request.newestSeen.get(name) ?? -1
    if (number < seen && !isReordered) throw new Error(`nonce ${number} went out after ${seen} had been seen`)
    if (number === line.current || (policy === 'smooth' && number >= 0 && number === line.current - 1)) return undefined
    if (policy === 'smooth' && number >= 0 && !isReordered) throw new Error(`nonce ${number} was too old`)
    this.counts.demands++
    line.asked.add(request.call)
    return { 'dpop-nonce': `${name}~${line.current}` }
  }

  /** Changes the nonce now and then, and tells of it as the policy has it. */
  #news(name: string): object {
    const { policy, random } = this.#options
    const line = this.#line(name)
    if (this.#mayRotate(name, line) && (policy === 'thrashing' || random() < 0.3)) {
      line.current++
      this.counts.rotations++
      line.changedInTurn = this.#options.turn()
      line.asked.clear()
    }
    return policy === 'on errors' ? {} : { 'dpop-nonce': `${name}~${line.current}` }
  }

  #mayRotate(name: string, { asked, current, changedInTurn }: Line): boolean {
    const { policy, isLive, turn } = this.#options
    if (policy !== 'smooth') return policy === 'thrashing' || !isLive(asked)
    // What was under way at the last change is on its way after one turn.
    const hasOlder = [...this.waiting].some(
      ({ nonce }) => nonce?.startsWith(`${name}~`) && nonce !== `${name}~${current}`,
    )
    return turn() > changedInTurn && !hasOlder
  }

  #line(name: string): Line {
    const line = this.#lines.get(name) ?? { current: 0, asked: new Set<string>(), changedInTurn: -1 }
    this.#lines.set(name, line)
    return line
  }
}

function lineName(role: string, jkt: string): string {
  return `${role}:${jkt}`
}

function challenge(error: string): object {
  return { 'www-authenticate': `DPoP error="${error}", algs="ES256"` }
}

function answered(status: number, headers: object, body: object = {}): Response {
  return Response.json(body, { status, headers: { ...headers } })
}
