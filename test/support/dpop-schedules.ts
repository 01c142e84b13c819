import { authorizedFetch, createTokenManager, isEvertokenError, none } from 'evertoken'
import { type DPoPKeyRing, dpopKeyRing } from 'evertoken/dpop'
import { jwkThumbprint, type Signer, signerFrom } from 'evertoken/keys'
import { seededRandom } from './interleaving.ts'
import { createTestKey } from './keys.ts'
import { NONCE_POLICIES, type NoncePolicy, NonceServer, type SentRequest } from './nonce-server.ts'
import { createTestClock, settle } from './test-clock.ts'

/** What schedules are made of. */
export interface DPoPSchedulesOptions {
  readonly seed: number
  readonly callers: number
  /** Breaks requests on their way now and then, to see whether that is noticed. */
  readonly tampering?: 'proof of another' | 'bearer' | 'proof again' | undefined
}

/** Calls of two clients with a key each to one origin, whose requests and answers are put in an order by chance. */
export interface DPoPSchedules {
  /**
   * Makes the calls, lets the server answer them in any order, and checks every request and how every call ended.
   *
   * @throws Error that names the seed and the schedule.
   */
  run(n: number): Promise<void>
  readonly counts: Readonly<Record<CountName, number>>
}

const COUNTS = ['requests', 'calls', 'demands', 'refusals', 'redirects', 'failures', 'rotations', 'granted'] as const
type CountName = (typeof COUNTS)[number] | 'lost' | 'inVain' | 'newKey' | 'mostTries'

interface Keys {
  readonly one: Signer
  readonly next: Signer
  readonly two: Signer
}

const ORIGIN = 'https://all.example'
/** Requests differ in method, body, query and what becomes of them. */
const PATHS: readonly (readonly [string, string])[] = [
  ['GET', '/items?page=1'],
  ['POST', '/items'],
  ['PUT', '/items/%2Fa?x#y'],
  ['GET', '/hop/307/items'],
  ['POST', '/hop/303/items/7'],
  ['POST', '/hop/308/items?again'],
]

/** Opens them. The keys are the same for all, so that a schedule can be run by itself. */
export async function openDPoPSchedules({ seed, callers, tampering }: DPoPSchedulesOptions): Promise<DPoPSchedules> {
  const make = async (kid: string): Promise<Signer> => signerFrom((await createTestKey('ES256', kid)).jwk)
  const keys: Keys = { one: await make('one'), next: await make('next'), two: await make('two') }
  const [one, next, two] = await Promise.all(Object.values(keys).map(({ publicJwk }) => jwkThumbprint(publicJwk)))
  const jkts = { one: String(one), next: String(next), two: String(two) }
  const rings = { one: dpopKeyRing(keys.one), two: dpopKeyRing(keys.two) }
  await rings.two.thumbprint()
  await loadEverything(keys.one)
  const names = [...COUNTS, 'lost', 'inVain', 'newKey', 'mostTries'] as const
  const counts = Object.fromEntries(names.map((name) => [name, 0])) as Record<CountName, number>

  async function run(n: number): Promise<void> {
    const random = seededRandom(seed + Math.imul(n, 0x9e3779b1))
    const schedule = new Schedule({ random, keys, jkts, rings, counts, tampering })
    try {
      await schedule.run(callers)
    } catch (error) {
      throw new Error(`seed ${seed}, schedule ${n} (${schedule}): ${String(error)}`, { cause: error })
    }
  }
  return { run, counts }
}

/** What is loaded when it is first needed takes time of its own, which no clock of ours waits for. */
async function loadEverything(dpop: Signer): Promise<void> {
  const fetch = async (): Promise<Response> => Response.json({ access_token: 'a', token_type: 'DPoP' })
  const any = { tokenEndpoint: `${ORIGIN}/token`, clientId: 'any', authentication: none(), dpop }
  await createTokenManager({ clients: { any }, fetch }).getToken('any')
}

interface Parts {
  readonly random: () => number
  readonly keys: Keys
  readonly jkts: Readonly<Record<keyof Keys, string>>
  /** Rings that always hold the same keys. */
  readonly rings: Readonly<Record<'one' | 'two', DPoPKeyRing>>
  readonly counts: Record<CountName, number>
  readonly tampering: DPoPSchedulesOptions['tampering']
}

interface Call {
  readonly hops: number
  tries: number
}

interface Pending {
  readonly request: SentRequest
  readonly settle: (response: Response) => void
  readonly fail: (error: Error) => void
}

class Schedule {
  readonly #parts: Parts
  readonly #policy: NoncePolicy
  readonly #isReordered: boolean
  readonly #hasRotation: boolean
  readonly #clock = createTestClock()
  readonly #server: NonceServer
  readonly #pending: Pending[] = []
  /** Answers that are on their way back. */
  readonly #answered: (() => void)[] = []
  readonly #live = new Map<string, Call>()
  /** Nonces that have come, and those of them that all who wait have heard of. */
  readonly #delivered = new Map<string, number>()
  #seen: ReadonlyMap<string, number> = new Map()
  readonly #faults: Error[] = []
  #turns = 0

  constructor(parts: Parts) {
    const { random, jkts } = parts
    this.#parts = parts
    this.#policy = NONCE_POLICIES[Math.floor(random() * NONCE_POLICIES.length)] ?? 'smooth'
    this.#isReordered = random() < 0.25
    this.#hasRotation = random() < 0.3
    this.#server = new NonceServer({
      policy: this.#policy,
      isReordered: this.#isReordered,
      random,
      keysOf: (clientId) => (clientId === 'one' ? [jkts.one, jkts.next] : [jkts.two]),
      turn: () => this.#turns,
      isLive: (calls) => [...calls].some((call) => this.#live.has(call)),
    })
  }

  toString(): string {
    return `${this.#policy}${this.#isReordered ? ', reordered' : ''}${this.#hasRotation ? ', with another key' : ''}`
  }

  async run(callers: number): Promise<void> {
    const { random, keys, jkts, rings, counts } = this.#parts
    const ring = this.#hasRotation ? dpopKeyRing(keys.one, { clock: this.#clock }) : rings.one
    // What is awaited here is out of the way of the order that chance makes.
    await ring.thumbprint()
    const own = { authentication: none(), tokenEndpoint: `${ORIGIN}/token` }
    const tokens = createTokenManager({
      clients: { one: { ...own, clientId: 'one', dpop: ring }, two: { ...own, clientId: 'two', dpop: rings.two } },
      clock: this.#clock,
      // What is made room for costs time in each schedule.
      maxEntries: 10,
      fetch: (input, init) => this.#send(input, init),
    })
    const fetches = new Map<string, (input: string, init: RequestInit) => Promise<Response>>()
    for (const name of ['one', 'two'] as const) {
      const authorizer = tokens.authorizer(name, { baseUrl: ORIGIN })
      const fetch = (input: unknown, init?: RequestInit): Promise<Response> => this.#send(input, init)
      fetches.set(name, authorizedFetch(authorizer, { baseUrl: new URL(ORIGIN), fetch }))
    }
    await this.#turn()

    const rotatesAt = this.#hasRotation ? Math.floor(random() * callers) : -1
    const revokesAt = new Map([
      ['one', Math.floor(random() * callers * 2)],
      ['two', Math.floor(random() * callers * 2)],
    ])
    const calls: Promise<void>[] = []
    for (let i = 0; i < callers; i++) {
      if (i === rotatesAt) {
        ring.rotate(keys.next)
        await ring.thumbprint()
        calls.push(this.#ended(tokens.getToken('one', undefined, { forceRenewal: true })))
      }
      for (const [name, at] of revokesAt) if (at === i) this.#server.revoke(name)
      const name = random() < 0.5 ? 'one' : 'two'
      const fetch = fetches.get(name)
      if (fetch !== undefined) calls.push(this.#call(`${i}`, name, fetch))
      while (random() < 0.5) await this.#step()
    }
    let isOver = false
    const over = Promise.all(calls).then(() => {
      isOver = true
    })
    while (!isOver && this.#faults.length === 0) await this.#step()
    if (this.#faults[0] !== undefined) throw this.#faults[0]
    await over
    await tokens.close()
    for (const name of COUNTS) if (name in this.#server.counts) counts[name] += this.#server.counts[name as 'demands']
    counts.newKey += this.#server.servedBy.get(jkts.next) ?? 0
  }

  async #call(
    name: string,
    client: string,
    fetch: (input: string, init: RequestInit) => Promise<Response>,
  ): Promise<void> {
    const { random, counts } = this.#parts
    const [method, path] = PATHS[Math.floor(random() * PATHS.length)] ?? ['GET', '/']
    const call: Call = { hops: path.startsWith('/hop') ? 1 : 0, tries: 0 }
    this.#live.set(name, call)
    counts.calls++
    const init = { method, headers: { 'x-call': name, 'x-caller': client }, body: method === 'GET' ? null : 'body' }
    await this.#ended(
      fetch(path, init).then(({ status }) => {
        if (status !== 200 && status !== 500) throw new Error(`call ${name} of ${client} ended with ${status}`)
      }),
    )
    this.#live.delete(name)
    counts.mostTries = Math.max(counts.mostTries, call.tries)
    // One other token, and one nonce for each key at each place that it was sent on to.
    const most = (1 + call.hops) * (this.#hasRotation ? 3 : 2) + 1
    if (call.tries > most) this.#faults.push(new Error(`call ${name} of ${client} took ${call.tries} tries`))
  }

  /** Takes note of how it ended, where that was not as it should. */
  async #ended(work: Promise<unknown>): Promise<void> {
    const { counts } = this.#parts
    try {
      await work
    } catch (error) {
      const isInVain = isEvertokenError(error) && 'use_dpop_nonce' === ('error' in error ? error.error : error.code)
      if (error instanceof TypeError && error.message === 'lost') counts.lost++
      else if (isInVain && (this.#policy === 'thrashing' || this.#isReordered)) counts.inVain++
      else this.#faults.push(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #send(input: unknown, { method = 'GET', headers: sent, body }: RequestInit = {}): Promise<Response> {
    const { counts, random, tampering } = this.#parts
    const url = String(input)
    const headers = new Headers(sent)
    const call = headers.get('x-call') ?? `token-${counts.requests}`
    counts.requests++
    const known = this.#live.get(call)
    if (known !== undefined) known.tries++
    const newestSeen = this.#seen
    const form = new URLSearchParams(url.endsWith('/token') ? (body as URLSearchParams) : '')
    if (tampering !== undefined && random() < 0.02) tamper(tampering, headers, this.#pending)
    // Looked at by that policy alone.
    const nonce = this.#policy === 'smooth' ? nonceOf(headers.get('dpop')) : undefined
    const request = { url, method, headers, form, call, nonce, newestSeen }
    this.#server.waiting.add(request)
    return new Promise((settle, fail) => this.#pending.push({ request, settle, fail }))
  }

  /** One thing that happens: an answer is made, it arrives, a connection is lost, time passes. */
  async #step(): Promise<void> {
    const { random } = this.#parts
    if (random() < 0.6) await this.#turn()
    const below = (limit: number): number => Math.floor(random() * limit)
    if (this.#answered.length > 0 && random() < 0.5) {
      this.#answered.splice(below(this.#answered.length), 1)[0]?.()
      return
    }
    const [next] = this.#pending.splice(below(this.#pending.length), 1)
    if (next !== undefined) return this.#answer(next)
    if (this.#answered.length > 0) return
    // Nobody waits for the server: for a pause between tries, then.
    await settle()
    if (this.#pending.length === 0) await this.#clock.advance(50)
    await this.#turn()
  }

  #answer({ request, settle: respond, fail }: Pending): void {
    const { random } = this.#parts
    if (!request.url.endsWith('/token') && random() < 0.01) {
      this.#server.waiting.delete(request)
      fail(new TypeError('lost'))
      return
    }
    try {
      const response = this.#server.answer(request)
      const arrive = (): void => {
        const [, line, number] = /^(.+)~(\d+)$/.exec(response.headers.get('dpop-nonce') ?? '') ?? []
        if (line !== undefined) this.#delivered.set(line, Number(number))
        respond(response)
      }
      if (this.#isReordered && random() < 0.5) this.#answered.push(arrive)
      else arrive()
    } catch (error) {
      this.#faults.push(error instanceof Error ? error : new Error(String(error)))
      fail(new TypeError('refused'))
    }
  }

  /** Lets everything that needs no answer go on. */
  async #turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    this.#turns++
    this.#seen = new Map(this.#delivered)
  }
}

function nonceOf(proof: string | null): string | undefined {
  return JSON.parse(Buffer.from(proof?.split('.')[1] ?? '', 'base64url').toString() || '{}').nonce
}

function tamper(how: NonNullable<Parts['tampering']>, headers: Headers, pending: readonly Pending[]): void {
  const own = headers.get('authorization')
  if (how === 'bearer') return void (own && headers.set('authorization', own.replace('DPoP', 'Bearer')))
  const isOther = ({ request }: Pending): boolean =>
    (request.headers.get('x-caller') !== headers.get('x-caller')) === (how === 'proof of another')
  headers.set('dpop', pending.find(isOther)?.request.headers.get('dpop') ?? String(headers.get('dpop')))
}
