import { createTokenManager, type Telemetry, type TokenManager } from 'evertoken'
import type { Call } from './call.ts'
import { CLIENTS, type Identity } from './identities.ts'
import { Machine } from './machine.ts'
import { ModelLock } from './model-lock.ts'
import { ModelNews } from './model-news.ts'
import { ModelServer, type ServerWatch } from './model-server.ts'
import { ModelStore } from './model-store.ts'
import type { Network } from './network.ts'
import type { Scheduler } from './scheduler.ts'
import type { Witness } from './witness.ts'

/** One process: where it runs, and the manager that is under test. */
export interface FleetProcess {
  readonly machine: Machine
  readonly tokens: TokenManager<typeof CLIENTS>
}

/** What a fleet is made of. */
export interface FleetOptions extends Network {
  readonly scheduler: Scheduler
  readonly witness: Witness
  readonly size: number
  readonly lifetimeMs: number
  /** How many tokens of requests each process keeps in memory. */
  readonly maxEntries: number
  /** Of one journey to or from the authorization server. */
  readonly serverLatency: () => number
  readonly serverFaultRate: number
  /** Told of every request when it leaves. */
  readonly onRequest: (request: { readonly identity: string; readonly machine: Machine }) => void
}

/** How a caller calls. */
export interface CallOptions {
  readonly isForced?: boolean
  /** Gives up after so long. */
  readonly patienceMs?: number
}

/** Processes that share a store, a lock, news and servers, all of them models on one scheduler. */
export class Fleet {
  readonly store: ModelStore
  readonly lock: ModelLock
  readonly news: ModelNews
  readonly server: ModelServer
  readonly processes: FleetProcess[]
  readonly #options: FleetOptions
  #born = 0
  /** Operations that telemetry has seen begin and not end, in processes that live. */
  readonly #operations = new Map<Machine, number>()

  constructor(options: FleetOptions) {
    const { witness, size, serverLatency, serverFaultRate: faultRate, lifetimeMs } = options
    const network = { latency: options.latency, sabotage: options.sabotage }
    this.#options = options
    this.store = new ModelStore(network)
    this.lock = new ModelLock({ ...network, onLoss: () => witness.excuse() })
    this.news = new ModelNews({ ...network, onHeard: (machine) => witness.heard(machine) })
    const watch: ServerWatch = {
      requested(identity, machine) {
        witness.requested(identity, machine)
        options.onRequest({ identity, machine })
      },
      issued: (token) => witness.issued(token),
      answered: (identity, machine) => witness.answered(identity, machine),
      failed: (identity) => witness.failed(identity),
    }
    this.server = new ModelServer({ ...network, latency: serverLatency, watch, faultRate, lifetimeMs })
    this.processes = Array.from({ length: size }, () => this.#start())
  }

  /** One caller asks for a token, and comes back with it when it is refused. */
  call(at: number, identity: Identity, { isForced = false, patienceMs }: CallOptions = {}): void {
    const { machine, tokens } = this.#at(at)
    const abort = patienceMs === undefined ? undefined : new AbortController()
    if (abort !== undefined) machine.after(patienceMs ?? 0, 'a caller gives up', () => abort.abort(new Error('enough')))
    if (isForced) this.#options.witness.excuse(identity.name)
    this.#ask({ machine, tokens }, { machine, identity, abort }, isForced)
  }

  /** One caller deletes a token. */
  delete(at: number, identity: Identity): void {
    const { machine, tokens } = this.#at(at)
    const { scheduler, witness } = this.#options
    scheduler.note(`${machine.name} deletes ${identity.name}`)
    const deleted = witness.deleting({ machine, identity })
    // Without a request all tokens of the client would go.
    tokens.delete(identity.client, identity.request ?? {}).then(deleted)
  }

  /** Kills a process; another takes its place. */
  crash(at: number): void {
    this.#at(at).machine.kill()
    this.processes[at] = this.#start()
  }

  /** Closes a process; another takes its place. */
  leave(at: number): void {
    void this.#close(this.#at(at))
    this.processes[at] = this.#start()
  }

  /** What is under way, when nothing happens any more. */
  get leftovers(): Readonly<Record<string, number>> {
    const alive = [...this.#operations].filter(([{ isDead }]) => !isDead)
    return {
      timers: alive.reduce((sum, [{ timers }]) => sum + timers, 0),
      operations: alive.reduce((sum, [, operations]) => sum + operations, 0),
      locks: this.lock.size,
      events: this.#options.scheduler.pending,
    }
  }

  /** Closes all processes; gives how many are still closing. */
  close(): () => number {
    let closing = this.processes.length
    for (const process of this.processes) {
      void this.#close(process).then(() => {
        closing--
      })
    }
    return () => closing
  }

  /** Ends what dead processes wait for. */
  bury(): void {
    for (const machine of this.#operations.keys()) if (machine.isDead) machine.bury()
  }

  #at(at: number): FleetProcess {
    const process = this.processes[at]
    if (process === undefined) throw new RangeError('no such process')
    return process
  }

  #start(): FleetProcess {
    const { scheduler, maxEntries } = this.#options
    const machine = new Machine(`p${++this.#born}`, scheduler, this.#options.sabotage)
    this.#operations.set(machine, 0)
    const tokens = createTokenManager({
      clients: CLIENTS,
      clock: machine.clock,
      store: this.store.connect(machine),
      lock: this.lock.connect(machine),
      invalidations: this.news.connect(machine),
      fetch: this.server.connect(machine),
      telemetry: this.#telemetry(machine),
      maxEntries,
    })
    return { machine, tokens }
  }

  #telemetry(machine: Machine): Telemetry {
    const count = (change: number): void => {
      this.#operations.set(machine, (this.#operations.get(machine) ?? 0) + change)
    }
    return {
      run: (_operation, work) => {
        count(1)
        return work({}).finally(() => count(-1))
      },
      note: ({ name }) => this.#options.scheduler.note(`${machine.name} notes ${name}`),
    }
  }

  async #close({ machine, tokens }: FleetProcess): Promise<void> {
    machine.isLeaving = true
    await tokens.close()
  }

  #ask({ machine, tokens }: FleetProcess, call: Call, forceRenewal: boolean): void {
    const { identity, rejected, abort } = call
    const { witness } = this.#options
    const { got, failed } = witness.called(call)
    const options = { rejected, forceRenewal, signal: abort?.signal }
    tokens.getToken(identity.client, identity.request, options).then((token) => {
      got(token)
      const issued = this.server.tokens.get(token.accessToken)
      // What a resource server refuses is named, once.
      if (rejected !== undefined || !issued) return
      machine.after(this.#options.latency(), `uses ${issued.text}`, () => {
        if (issued.isRevoked) this.#ask({ machine, tokens }, { machine, identity, rejected: token }, false)
      })
    }, failed)
  }
}
