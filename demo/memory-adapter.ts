import type { Adapter, AdapterPayload } from 'oidc-provider'

/** Where the authorization server keeps what it has issued: in this process, for as long as it runs. */
export function memoryAdapter(): new (model: string) => Adapter {
  const entries = new Map<string, AdapterPayload>()
  return class implements Adapter {
    readonly #model: string
    constructor(model: string) {
      this.#model = model
    }
    #key(id: string): string {
      return `${this.#model}:${id}`
    }
    async upsert(id: string, payload: AdapterPayload): Promise<void> {
      entries.set(this.#key(id), payload)
    }
    async find(id: string): Promise<AdapterPayload | undefined> {
      return entries.get(this.#key(id))
    }
    async findByUserCode(): Promise<undefined> {}
    async findByUid(): Promise<undefined> {}
    async consume(id: string): Promise<void> {
      const entry = entries.get(this.#key(id))
      if (entry !== undefined) entry.consumed = Math.floor(Date.now() / 1000)
    }
    async destroy(id: string): Promise<void> {
      entries.delete(this.#key(id))
    }
    async revokeByGrantId(): Promise<void> {}
  }
}
