// Generated from docs/openapi.json by scripts/api-clients.mjs; edit those.

export class ApiError extends Error {
  constructor(status, code, message, next) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
    this.next = next;
  }
}

export class Client {
  #base;

  constructor(origin) {
    this.#base = `${origin.replace(/\/+$/, '')}/api/v1`;
  }

  getConfig() {
    return this.#get('/config', {});
  }

  getNetwork() {
    return this.#get('/network', {});
  }

  listOffers(query = {}) {
    return this.#get('/offers', query);
  }

  getOffer(id) {
    return this.#get(`/offers/${encodeURIComponent(id)}`, {});
  }

  getQuote(id, query) {
    return this.#get(`/offers/${encodeURIComponent(id)}/quote`, query);
  }

  listProviders(query = {}) {
    return this.#get('/providers', query);
  }

  getProvider(address) {
    return this.#get(`/providers/${encodeURIComponent(address)}`, {});
  }

  listProviderVerdicts(address, query = {}) {
    return this.#get(`/providers/${encodeURIComponent(address)}/verdicts`, query);
  }

  listProviderEvents(address, query = {}) {
    return this.#get(`/providers/${encodeURIComponent(address)}/events`, query);
  }

  getDevice(id) {
    return this.#get(`/devices/${encodeURIComponent(id)}`, {});
  }

  listDeviceVerdicts(id, query = {}) {
    return this.#get(`/devices/${encodeURIComponent(id)}/verdicts`, query);
  }

  listRentals(query = {}) {
    return this.#get('/rentals', query);
  }

  getRental(id) {
    return this.#get(`/rentals/${encodeURIComponent(id)}`, {});
  }

  listRentalEvents(id, query = {}) {
    return this.#get(`/rentals/${encodeURIComponent(id)}/events`, query);
  }

  listRentalVerdicts(id, query = {}) {
    return this.#get(`/rentals/${encodeURIComponent(id)}/verdicts`, query);
  }

  listRentalMessages(id, query = {}) {
    return this.#get(`/rentals/${encodeURIComponent(id)}/messages`, query);
  }

  listCases(query = {}) {
    return this.#get('/cases', query);
  }

  getCase(id) {
    return this.#get(`/cases/${encodeURIComponent(id)}`, {});
  }

  listChallenges(query = {}) {
    return this.#get('/challenges', query);
  }

  getChallenge(block) {
    return this.#get(`/challenges/${encodeURIComponent(block)}`, {});
  }

  listChallengeVerdicts(block, query = {}) {
    return this.#get(`/challenges/${encodeURIComponent(block)}/verdicts`, query);
  }

  listMessages(query = {}) {
    return this.#get('/messages', query);
  }

  getMessage(origin, index) {
    return this.#get(`/messages/${encodeURIComponent(origin)}/${encodeURIComponent(index)}`, {});
  }

  listStakes(query = {}) {
    return this.#get('/stakes', query);
  }

  getStake(address) {
    return this.#get(`/stakes/${encodeURIComponent(address)}`, {});
  }

  listDelegations(address, query = {}) {
    return this.#get(`/stakes/${encodeURIComponent(address)}/delegations`, query);
  }

  listSlashes(query = {}) {
    return this.#get('/slashes', query);
  }

  getAccount(address) {
    return this.#get(`/accounts/${encodeURIComponent(address)}`, {});
  }

  listAccountEvents(address, query = {}) {
    return this.#get(`/accounts/${encodeURIComponent(address)}/events`, query);
  }

  listProposals(query = {}) {
    return this.#get('/proposals', query);
  }

  getProposal(id) {
    return this.#get(`/proposals/${encodeURIComponent(id)}`, {});
  }

  listVotes(id, query = {}) {
    return this.#get(`/proposals/${encodeURIComponent(id)}/votes`, query);
  }

  getDistribution() {
    return this.#get('/distribution', {});
  }

  listAllocations(query = {}) {
    return this.#get('/allocations', query);
  }

  getAllocation(id) {
    return this.#get(`/allocations/${encodeURIComponent(id)}`, {});
  }

  async *all(page) {
    let cursor;
    do {
      const { items, next_cursor: next } = await page(cursor);
      yield* items;
      cursor = next ?? undefined;
    } while (cursor !== undefined);
  }

  async #get(path, query) {
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    const search = given.length === 0 ? '' : `?${new URLSearchParams(given)}`;
    const response = await fetch(`${this.#base}${path}${search}`);
    const answer = await response.json();
    if (!response.ok) throw new ApiError(response.status, answer.code, answer.message, answer.next);
    return answer;
  }
}
