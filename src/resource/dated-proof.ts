import type { Proof, ProofRequest, Prover } from '../dpop/index.ts'
import { type Awaitable, type Clock, redated, type ServerTime } from '../util/index.ts'
import type { ResponseHead } from './verdict.ts'

/** What times proofs for one resource server. */
export interface ProofTimes {
  readonly clock: Clock
  readonly serverTime: ServerTime
}

/** What another proof would have that the refused one had not. */
export interface Remedy {
  readonly hasNewNonce: boolean
  /** By which offset it would be dated, where that differs. */
  readonly redatedMs: number | undefined
}

/** Makes a proof for a resource server, dated by its clock as far as that is known; at once where nothing has to be waited for. */
export function proveDated(
  prover: Prover,
  request: Omit<ProofRequest, 'role' | 'wallTime'>,
  { clock, serverTime, datedWithMs = serverTime.offsetMs }: ProofTimes & { readonly datedWithMs: number | undefined },
): Awaitable<DatedProof> {
  const sentWallTime = clock.wallTime()
  const times = { clock, serverTime, datedWithMs, sentWallTime }
  const { jkt, method, url, origin, token, claims, signal } = request
  const wallTime = sentWallTime + datedWithMs
  // Named one by one: this is on the way of every request, and to spread an object takes longer than to make one.
  const proof = prover.prove({ jkt, role: 'resource_server', method, url, origin, wallTime, token, claims, signal })
  return 'learn' in proof ? new DatedProof(proof, times) : proof.then((made) => new DatedProof(made, times))
}

interface Dating extends ProofTimes {
  readonly datedWithMs: number
  readonly sentWallTime: number
}

/** A proof, and the time that it was made at. */
export class DatedProof {
  readonly #proof: Proof
  readonly #dating: Dating

  constructor(proof: Proof, dating: Dating) {
    this.#proof = proof
    this.#dating = dating
  }

  /** Value of the header `DPoP`. */
  get value(): string {
    return this.#proof.value
  }

  /** JWS algorithm that it is signed with. */
  get alg(): string {
    return this.#proof.alg
  }

  /** Takes note of the nonce and the time that a response brings (RFC 9449 section 9), whatever else it says. */
  answered(response: ResponseHead, isRefused: boolean): Remedy {
    const { clock, serverTime, datedWithMs, sentWallTime } = this.#dating
    const hasNewNonce = this.#proof.learn(response.header('dpop-nonce'), isRefused)
    // Dates are looked at only where they matter: this is on the way of every response.
    if (!isRefused && datedWithMs === 0 && serverTime.offsetMs === 0) return { hasNewNonce, redatedMs: undefined }
    const answer = { date: response.header('date'), sentWallTime, receivedWallTime: clock.wallTime() }
    if (response.status < 400) serverTime.accepted(answer, datedWithMs)
    if (!isRefused) return { hasNewNonce, redatedMs: undefined }
    // The API's clock may have been followed astray: then this machine's is the last resort.
    const ownMs = datedWithMs === 0 ? undefined : 0
    return { hasNewNonce, redatedMs: redated(answer, datedWithMs) ?? ownMs }
  }
}
