// Exceptions through frames with cleanups, through a callback of the C library, rethrown and caught by type; a digest.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#define OWN __attribute__((noinline))

static std::uint64_t digest = 1469598103934665603u;

OWN static void note(std::uint64_t value)
{
	digest = (digest ^ value) * 1099511628211u;
}

struct Guard {
	int id;
	explicit Guard(int i) : id(i) { note(i); }
	~Guard() { note(1000 + id); }
};

struct Own : std::runtime_error {
	int depth;
	explicit Own(int d) : std::runtime_error("own"), depth(d) {}
};

OWN static int down(int n, int at)
{
	Guard guard(n);
	std::string text(n + 20, 'x');
	if (n == at)
		throw Own(n);
	if (n == 0)
		throw std::out_of_range("zero");
	int below = down(n - 1, at);
	note(text.size());
	return below + 1;
}

OWN static int caught(int n, int at)
{
	try {
		try {
			return down(n, at);
		} catch (const std::out_of_range &) {
			note(7);
			throw;
		}
	} catch (const Own &e) {
		note(e.depth);
		return e.depth;
	} catch (const std::exception &e) {
		note(std::string(e.what()).size());
		return -1;
	}
}

extern "C" int compare(const void *a, const void *b)
{
	int x = *static_cast<const int *>(a), y = *static_cast<const int *>(b);
	if (x == 77)
		throw std::vector<int>{ x, y };
	return x - y;
}

OWN static void through_library()
{
	int values[40];
	for (int i = 0; i < 40; i++)
		values[i] = (i * 37) % 83;
	try {
		std::qsort(values, 40, sizeof *values, compare);
		note(1);
	} catch (const std::vector<int> &v) {
		note(v[0]);
	}
}

int main(int argc, char **argv)
{
	std::map<std::string, std::function<int(int)>> table{
		{ "square", [](int x) { return x * x; } },
		{ "caught", [](int x) { return caught(x, x / 2); } },
		{ "through", [](int x) { return caught(x, -1); } },
	};
	for (auto &[name, function] : table)
		for (int i = 1; i < 12; i += 3) {
			int value = function(i);
			note(static_cast<std::uint64_t>(value));
			std::printf("%s %d = %d\n", name.c_str(), i, value);
		}
	through_library();
	auto shared = std::make_shared<Guard>(5);
	shared.reset();
	std::printf("digest %016llx\n", static_cast<unsigned long long>(digest));
	if (argc > 1)
		throw std::runtime_error(argv[1]);  // nobody catches it: terminate
}
