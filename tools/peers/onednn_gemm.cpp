// The rate of one product in oneDNN, both operands packed beforehand as it likes them; one JSON object, with the keys of
// `dither bench gemm --json`. The library's threads are OpenMP's (OMP_NUM_THREADS); ONEDNN_MAX_CPU_ISA caps its kernels.
//
//     c++ -O2 -o onednn_gemm onednn_gemm.cpp -ldnnl
//     ./onednn_gemm s8 nt 1024 3072 768 s32
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <dnnl.hpp>

using dnnl::memory;

namespace {

double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

memory::data_type type_of(const std::string &name)
{
    static const std::map<std::string, memory::data_type> types = {{"s8", memory::data_type::s8},
                                                                   {"bf16", memory::data_type::bf16},
                                                                   {"f32", memory::data_type::f32},
                                                                   {"s32", memory::data_type::s32}};
    return types.at(name);
}

// Codes in -127..127, or values in -1..1.
void fill(memory &target, memory::data_type type)
{
    std::mt19937 random(1);
    const size_t bytes = target.get_desc().get_size();
    if (type == memory::data_type::s8) {
        auto *codes = static_cast<int8_t *>(target.get_data_handle());
        for (size_t i = 0; i < bytes; i++)
            codes[i] = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
        return;
    }
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (size_t i = 0; i < bytes / (type == memory::data_type::f32 ? 4 : 2); i++) {
        const float value = uniform(random);
        uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        if (type == memory::data_type::f32)
            static_cast<float *>(target.get_data_handle())[i] = value;
        else
            static_cast<uint16_t *>(target.get_data_handle())[i] = static_cast<uint16_t>(bits >> 16);
    }
}

dnnl::matmul::primitive_desc describe(const dnnl::engine &engine, const memory::desc &a, const memory::desc &b,
                                      const memory::desc &c)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl::matmul::primitive_desc(engine, a, b, c);
#else
    return dnnl::matmul::primitive_desc({a, b, c}, engine);
#endif
}

struct product {
    std::string types, layout, out;
    memory::dim m, n, k;
};

void measure(const product &p)
{
    using tag = memory::format_tag;
    dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(engine);
    const auto type = type_of(p.types), out = type_of(p.out);
    // As the matrices lie in memory: A is [m][k], or [k][m] under tn; B is [k][n], or [n][k] under nt.
    memory a({{p.m, p.k}, type, p.layout == "tn" ? tag::ba : tag::ab}, engine);
    memory b({{p.k, p.n}, type, p.layout == "nt" ? tag::ba : tag::ab}, engine);
    fill(a, type);
    fill(b, type);
    const auto wanted = describe(engine, {{p.m, p.k}, type, tag::any}, {{p.k, p.n}, type, tag::any},
                                 {{p.m, p.n}, out, tag::ab});
    memory packed_a(wanted.src_desc(), engine), packed_b(wanted.weights_desc(), engine), c(wanted.dst_desc(), engine);
    dnnl::reorder pack_a(a, packed_a), pack_b(b, packed_b);
    const auto pack = [&] {
        pack_a.execute(stream, a, packed_a);
        pack_b.execute(stream, b, packed_b);
        stream.wait();
    };
    const dnnl::matmul multiply(wanted);
    const std::unordered_map<int, memory> arguments = {
        {DNNL_ARG_SRC, packed_a}, {DNNL_ARG_WEIGHTS, packed_b}, {DNNL_ARG_DST, c}};
    const auto repeat = [](const auto &body) {
        std::vector<double> seconds;
        double sum = 0;
        body();
        while (seconds.size() < 400 && (seconds.size() < 5 || sum < 0.5)) {
            const double begin = now();
            body();
            seconds.push_back(now() - begin);
            sum += seconds.back();
        }
        std::sort(seconds.begin(), seconds.end());
        return seconds;
    };
    const std::vector<double> packs = repeat(pack), products = repeat([&] {
        multiply.execute(stream, arguments);
        stream.wait();
    });
    const double operations = 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
    const double median = products[products.size() / 2];
    const dnnl_version_t *version = dnnl::version();
    std::printf("{\"program\":\"oneDNN %d.%d.%d\",\"types\":\"%s\",\"out\":\"%s\",\"layout\":\"%s\",\"m\":%ld,\"n\":%ld,"
                "\"k\":%ld,\"isa\":\"%s\",\"seconds\":%.9g,\"gops\":%.6g,\"best_gops\":%.6g,\"pack_s\":%.9g}\n",
                version->major, version->minor, version->patch, p.types.c_str(), p.out.c_str(), p.layout.c_str(),
                static_cast<long>(p.m), static_cast<long>(p.n), static_cast<long>(p.k), wanted.impl_info_str(), median,
                1e-9 * operations / median, 1e-9 * operations / products.front(), packs[packs.size() / 2]);
}

}  // namespace

int main(int count, char **words)
{
    if (count != 7) {
        std::fprintf(stderr, "usage: onednn_gemm s8|bf16|f32 nt|nn|tn M N K s32|f32|bf16\n");
        return 2;
    }
    try {
        measure({words[1], words[2], words[6], std::atol(words[3]), std::atol(words[4]), std::atol(words[5])});
    } catch (const std::exception &error) {
        std::fprintf(stderr, "onednn_gemm: %s\n", error.what());
        return 1;
    }
    return 0;
}
